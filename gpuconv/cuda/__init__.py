"""The CUDA engine: arrays on a GPU, kernels in Numba CUDA, launched on the caller's stream.

Each operator is a room, whose `__init__` lists its algorithms in order of preference;
`gpuconv.algorithm.select` takes the first that is supported and worthwhile. Importing this package needs no
GPU, so that kernels can be compiled where there is none.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda import (
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
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.driver import refuse_forked_child, wait_for
from gpuconv.cuda.runtime.gpu import Gpu, gpu
from gpuconv.cuda.runtime.held import hold
from gpuconv.cuda.runtime.scratch import Scratch
from gpuconv.engines import ARCHITECTURES

ALGORITHMS: dict[str, tuple[Algorithm, ...]] = {
    "conv": conv.ALGORITHMS, "conv_grad": conv_grad.ALGORITHMS, "conv_weight": conv_weight.ALGORITHMS,
    "conv_bias": conv_bias.ALGORITHMS, "deform": deform.ALGORITHMS, "pool": pool.ALGORITHMS,
    "pool_grad": pool_grad.ALGORITHMS, "scatter": scatter.ALGORITHMS, "unfold": unfold.ALGORITHMS,
}  # fmt: skip
KERNELS: tuple[Kernel, ...] = (
    *conv.KERNELS, *deform.KERNELS, *pool.KERNELS, *pool_grad.KERNELS, *scatter.KERNELS, *unfold.KERNELS,
)  # fmt: skip

__all__ = ["ALGORITHMS", "ARCHITECTURES", "KERNELS", "Scratch", "device", "hold", "wait_for"]


def device(ordinal: int) -> Gpu:
    """A GPU of this machine, as algorithms see it."""
    refuse_forked_child()
    return gpu(ordinal)
