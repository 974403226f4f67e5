"""The CPU engine: NumPy arrays in, NumPy arrays out, compiled by `numba.njit`.

Each operator is a room, whose `__init__` lists its algorithms in order of preference;
`gpuconv.algorithm.select` takes the first that is supported and worthwhile.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu import (
    conv,
    conv_bias,
    conv_grad,
    conv_weight,
    deform,
    pool,
    pool_grad,
    scatter,
    unfold,
)
from gpuconv.cpu.engine import again
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.cpu.engine.launch import is_one_launch
from gpuconv.cpu.engine.native import converting, plain
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import enclosed
from gpuconv.threads import get_num_threads

if TYPE_CHECKING:
    from gpuconv.call import Call

ALGORITHMS: dict[str, tuple[Algorithm, ...]] = {
    "conv": conv.ALGORITHMS, "conv_grad": conv_grad.ALGORITHMS, "conv_weight": conv_weight.ALGORITHMS,
    "conv_bias": conv_bias.ALGORITHMS, "deform": deform.ALGORITHMS, "pool": pool.ALGORITHMS,
    "pool_grad": pool_grad.ALGORITHMS, "scatter": scatter.ALGORITHMS, "unfold": unfold.ALGORITHMS,
}  # fmt: skip
KERNELS: tuple[Kernel, ...] = (
    *conv.KERNELS, *conv_grad.KERNELS, *conv_weight.KERNELS, *deform.KERNELS, *pool.KERNELS,
    *pool_grad.KERNELS, *scatter.KERNELS, *unfold.KERNELS, *again.KERNELS,
)  # fmt: skip

Compute = Callable[..., None]
recognizer = again.recognizer


def device(ordinal: None = None) -> Processor:
    """The processor, as algorithms see it."""
    return Processor(get_num_threads())


def ready(call: "Call", algorithm: Algorithm) -> tuple[Compute, tuple[tuple[int, np.ndarray], ...]]:
    """(a function of the arrays of a call, (place, array) of each array that stands in for one left out).

    Kernels take arrays in this machine's byte order, and for a convolution weights and a bias without gaps;
    what lies otherwise is copied (`engine.native`).
    """
    spec: Any = call.spec
    layouts: Any = call.layouts
    stand_ins = []
    for name, shape in (("bias", layouts.y.shape[1:2]), ("mask", (0, 0, 0, 0))):
        if name in layouts._fields and getattr(layouts, name) is None:
            zeros = np.zeros(shape, spec.result.numpy)
            zeros.flags.writeable = False
            stand_ins.append((layouts._fields.index(name), zeros))
    as_they_are = all(plain(name, each) == each for name, each in zip(layouts._fields, layouts, strict=True))
    compute = algorithm.plan(spec, layouts, call.device) if as_they_are else converting(call, algorithm)
    return compute if is_one_launch(compute) else enclosed(compute), tuple(stand_ins)
