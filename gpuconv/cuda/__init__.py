"""The CUDA engine: arrays on a GPU, kernels in Numba CUDA, launched on the caller's stream.

Importing this package needs no GPU, so that kernels can be compiled where there is none.
"""

from gpuconv.cuda import conv, pool
from gpuconv.cuda.runtime.compiled import ARCHITECTURES, Kernel
from gpuconv.cuda.runtime.driver import refuse_forked_child

CONVOLUTIONS = conv.ALGORITHMS
POOLS = getattr(pool, "ALGORITHMS", ())
KERNELS: tuple[Kernel, ...] = (*conv.KERNELS, *getattr(pool, "KERNELS", ()))

__all__ = ["ARCHITECTURES", "CONVOLUTIONS", "KERNELS", "POOLS", "refuse_forked_child"]
