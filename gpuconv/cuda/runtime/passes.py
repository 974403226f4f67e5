"""Several kernels, one after the other on one stream: with memory of our own between them, or of parts."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gpuconv.cuda.runtime.driver import current, refuse_forked_child
from gpuconv.cuda.runtime.launch import Launch

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


@dataclass(frozen=True, slots=True)
class Parts:
    """A problem in parts, one after the other on one stream: each on arrays that begin further on.

    Attributes
    ----------
    parts : tuple
        Plans, each with the bytes from the pointers of `queue` to its own.
    """

    parts: tuple[tuple[Launch | Passes, tuple[int, ...]], ...]

    @property
    def elements(self) -> int:
        """Numbers of float32 in memory of our own, which each part uses in its turn."""
        return max((plan.elements for plan, _ in self.parts), default=0)

    def queue(self, ordinal: int, stream: int, pointers: Sequence[int]) -> None:
        """Queue the parts; a pointer of 0 is none, and what follows those of the arrays is for all."""
        for plan, moved in self.parts:
            places = [place and place + step for place, step in zip(pointers, moved, strict=False)]
            plan.queue(ordinal, stream, [*places, *pointers[len(moved) :]])
