"""Pools on a GPU, in order of preference: the first that is supported and worthwhile is taken.

Rooms and files: `rows` the windows of most networks in registers,
`separable` any window through shared memory, `direct` everything. `means`, `indices` and `vectors` are what
several of them have in common.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.pool import direct, rows, separable
from gpuconv.cuda.runtime.compiled import Kernel

ALGORITHMS: tuple[Algorithm, ...] = (
    rows.ALGORITHM, separable.ALGORITHM, direct.ALGORITHM,
)  # fmt: skip
KERNELS: tuple[Kernel, ...] = (*rows.KERNELS, *separable.KERNELS, *direct.KERNELS)

__all__ = ["ALGORITHMS", "KERNELS"]
