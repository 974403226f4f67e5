"""Several kernels, one after the other on one stream: with memory of our own between them, or of parts."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gpuconv.cuda.runtime.driver import current, refuse_forked_child
from gpuconv.cuda.runtime.launch import Launch
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


@dataclass(frozen=True, slots=True)
class Parts:
    """A problem in parts, one after the other on one stream: each on arrays that begin further on.

    Attributes
    ----------
    parts : tuple
        Plans, each with the bytes from the pointers of `queue` to its own.
    places : tuple
        Where each pointer of a part is among those of `queue`; None is one that is left out.
    """

    parts: tuple[tuple[Launch | Passes, tuple[int, ...]], ...]
    places: tuple[int | None, ...] = (X, W, BIAS, Y)

    @property
    def elements(self) -> int:
        """Numbers of float32 in memory of our own, which each part uses in its turn."""
        return max((plan.elements for plan, _ in self.parts), default=0)

    def queue(self, ordinal: int, stream: int, pointers: Sequence[int]) -> None:
        """Queue the parts; a pointer of 0 is none, and what follows those of the arrays is for all."""
        arrays = len(self.places) - self.places.count(None)
        taken = [0 if place is None else pointers[place] for place in self.places]
        for plan, moved in self.parts:
            begins = [pointer and pointer + step for pointer, step in zip(taken, moved, strict=True)]
            plan.queue(ordinal, stream, [*begins, *pointers[arrays:]])
