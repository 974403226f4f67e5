"""A call that was made before, made again on other memory: pointers are patched into what was queued then.

The front cache of the GPU engine. A program makes the same call over and over, and for small images the host
takes longer to find out what a call means than the device to compute it. Here a call is known by its
parameters and by how its arrays lie (`arrays.glance`); all that is left to look at is whether `out` shares
memory with an input. It takes CuPy's arrays; every other call goes the long way.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.arrays import ALIGNED, Glance, Library, glance
from gpuconv.operands import Operands, Result
from gpuconv.remembered import remembered
from gpuconv.workspace import when_limit_changes


class Repeat:
    """What was queued for arrays that lie in one way, how far they reach, and how a result is made."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: Any = None

    def start(self, seen: Glance, out: Any) -> Any:
        """Queue it again, into `out` or a fresh array, and return that.

        None if it is not known, or if memory that must not be shared may be.
        """
        if self._known is None:
            return None
        launched, inputs, first, end, make, library = self._known
        pointers = seen.pointers
        if out is None:
            out, pointers[-1] = make(seen)
            if pointers[-1] % ALIGNED:
                return None
        else:
            begin, end = pointers[-1] + first, pointers[-1] + end
            for place, input_first, input_end in inputs:
                if begin < pointers[place] + input_end and pointers[place] + input_first < end:
                    return None
        if launched.elements:
            scratch = library.scratch(launched.elements, seen)
            pointers.append(scratch.pointer)
        launched.queue(seen.device, seen.stream, pointers)
        return out

    def keep(self, launched: Any, operands: Operands, result: Result) -> None:
        """Remember what a backend's operator returned for these arrays, if it can be queued again."""
        *inputs, out = operands.extents
        view: Any = result.view
        if not hasattr(launched, "queue") or (out is None and view.pointer % ALIGNED):
            return
        reaches = [(i, each.first, each.end) for i, each in enumerate(inputs) if each is not None]
        first, end = (0, 0) if out is None else (out.first, out.end)
        make = _maker(operands.library, result.array.shape, view.dtype.name)
        self._known = launched, reaches, first, end, make, operands.library


def _maker(library: Library, shape: tuple[int, ...], dtype: str) -> Callable[[Glance], tuple[Any, int]]:
    """A function that makes an array on the device of a glance, and says where it begins."""

    def make(seen: Glance) -> tuple[Any, int]:
        array = library.empty(shape, dtype, seen)
        view: Any = library.view(array, seen)
        return array, view.pointer

    return make


class Again:
    """One call of an operator: its `result`, if such a call was known, else None, and kept for the next.

    `arrays` are those of `operands.Operands`; `parameters` are the operator's name and all that it was given.
    """

    __slots__ = ("_repeat", "result")

    def __init__(self, arrays: tuple[Any, ...], *parameters: Any) -> None:
        self._repeat: Repeat | None = None
        self.result = None
        seen = glance(arrays)
        if seen is not None:
            self._repeat = _repeats(seen.layouts, *parameters)
            self.result = self._repeat.start(seen, arrays[-1])

    def keep(self, launched: Any, operands: Operands, result: Result) -> None:
        """Remember what the backend's operator returned."""
        if self._repeat is not None:
            self._repeat.keep(launched, operands, result)


@remembered
def _repeats(layouts: tuple, *parameters: Any) -> Repeat:
    return Repeat()


when_limit_changes(_repeats.forget)
