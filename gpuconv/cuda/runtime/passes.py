"""Several kernels, one after the other on one stream: with memory of our own between them, or of parts."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gpuconv.cuda.runtime.driver import current, refuse_forked_child
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.cuda.runtime.scratch import ELEMENT_BYTES
from gpuconv.spec import ConvLayouts, ConvSpec

X, W, BIAS, Y, SCRATCH = range(5)  # the places of a convolution's pointers, and of that to memory of our own


@dataclass(frozen=True, slots=True)
class Passes:
    """Kernels one after the other on one stream, with memory between them: made once, started often.

    Attributes
    ----------
    elements : int
        Numbers of float32 between the kernels, which the caller takes from the library of the output at each
        start; the pointer to them comes after those of the arrays.
    launches : tuple
        The kernels, each with its pointers as places among those of `queue`; they are started here alone.
    """

    elements: int
    launches: tuple[tuple[Launch, tuple[int, ...]], ...]
    _lock: Any = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def queue(self, ordinal: int, stream: int, pointers: Sequence[int]) -> None:
        """Queue the kernels; the last of the pointers is that of the memory between them."""
        refuse_forked_child()
        with current(ordinal), self._lock:
            for launch, places in self.launches:
                launch.start(ordinal, stream, [pointers[place] for place in places])


class Part(NamedTuple):
    """A convolution, how its arrays lie, and how many bytes from the start of each of x, w, bias and y."""

    spec: ConvSpec
    layouts: ConvLayouts
    moved: tuple[int, int, int, int]


class Step(NamedTuple):
    """A plan, and where each of its pointers begins: a place among those of `queue`, and bytes from there on.

    A place that is None is an array that is left out.
    """

    plan: "Launch | Passes | Parts"
    begins: tuple[tuple[int | None, int], ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """A problem in parts, one after the other on one stream: each on arrays, or memory between them.

    Attributes
    ----------
    steps : tuple of Step
    arrays : int
        Pointers of `queue` to arrays; the place behind them is that of the memory of our own.
    between : int
        Numbers of float32 in it that the steps share; behind them is what each uses in its turn.
    """

    steps: tuple[Step, ...]
    arrays: int
    between: int = 0

    @property
    def elements(self) -> int:
        """Numbers of float32 in memory of our own."""
        return self.between + max((step.plan.elements for step in self.steps), default=0)

    def queue(self, ordinal: int, stream: int, pointers: Sequence[int]) -> None:
        """Queue the steps; a pointer of 0 is none."""
        for plan, begins in self.steps:
            taken = [
                0 if place is None or not pointers[place] else pointers[place] + moved
                for place, moved in begins
            ]
            if plan.elements:
                taken.append(pointers[self.arrays] + ELEMENT_BYTES * self.between)
            plan.queue(ordinal, stream, taken)


def convolution(plan: "Launch | Passes | Parts", moved: Sequence[int]) -> Step:
    """The step of a convolution whose arrays are those of `queue`, so many bytes on."""
    return Step(plan, tuple(enumerate(moved)))
