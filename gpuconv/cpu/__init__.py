"""The CPU engine: NumPy arrays in, NumPy arrays out, compiled by `numba.njit`.

Each operator is a room, whose `__init__` lists its algorithms in order of preference;
`gpuconv.algorithm.select` takes the first that is supported and worthwhile.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuconv import threads
from gpuconv.algorithm import Algorithm
from gpuconv.cpu import conv, pool
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import enclosed
from gpuconv.spec import ConvLayouts, Layout
from gpuconv.spec.layouts import contiguous_strides

if TYPE_CHECKING:
    from gpuconv.call import Call

ALGORITHMS: dict[str, tuple[Algorithm, ...]] = {"conv": conv.ALGORITHMS, "pool": pool.ALGORITHMS}
KERNELS: tuple[Kernel, ...] = (*conv.KERNELS, *pool.KERNELS)

Compute = Callable[..., None]


def device(ordinal: None = None) -> Processor:
    """The processor, as algorithms see it."""
    return Processor(threads.count)


def ready(call: "Call", algorithm: Algorithm) -> tuple[Compute, tuple[tuple[int, np.ndarray], ...]]:
    """(a function of the arrays of a call, (place, array) of each array that stands in for one left out).

    Kernels take arrays in this machine's byte order, and for a convolution weights and a bias without gaps;
    what lies otherwise is copied.
    """
    spec: Any = call.spec
    layouts: Any = call.layouts
    stand_ins: tuple[tuple[int, np.ndarray], ...] = ()
    if isinstance(layouts, ConvLayouts) and layouts.bias is None:
        zeros = np.zeros(spec.K, spec.dtype.numpy)
        zeros.flags.writeable = False
        stand_ins = ((layouts._fields.index("bias"), zeros),)
    plain: Any = type(layouts)(*map(_plain, layouts._fields, layouts))
    compute = algorithm.plan(spec, plain, call.device)
    changed = [place for place, (one, other) in enumerate(zip(layouts, plain, strict=True)) if one != other]
    if changed:
        compute = _converting(compute, changed, layouts._fields.index("y"))
    return enclosed(compute), stand_ins


def _plain(name: str, layout: Layout | None) -> Layout | None:
    """How an array lies when a kernel gets it."""
    if layout is None or (layout.dtype.isnative and (layout.is_packed or name not in ("w", "bias"))):
        return layout
    strides = contiguous_strides(layout.shape, layout.dtype.itemsize)
    return layout._replace(strides=strides, dtype=layout.dtype.newbyteorder("="))


def _converting(compute: Compute, changed: list[int], y: int) -> Compute:
    """`compute` on copies, in this machine's byte order and without gaps, of the arrays at some places."""

    def converted(*arrays: np.ndarray) -> None:
        given = list(arrays)
        for place in changed:
            array = given[place]
            native = array.dtype.newbyteorder("=")
            given[place] = (
                np.empty(array.shape, native) if place == y else np.ascontiguousarray(array, native)
            )
        compute(*given)
        if y in changed:
            arrays[y][...] = given[y]

    return converted
