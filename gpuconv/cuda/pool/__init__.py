"""Pools on a GPU, in order of preference: the first that is supported and worthwhile is taken.

Rooms and files: `global_` one window for each plane, `rows` the windows of most networks in registers,
`separable` any window through shared memory, `norms` norms, `direct` everything else. `means`, `indices` and
`vectors` are what several of them have in common.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.pool import direct, global_, norms, rows, separable
from gpuconv.cuda.runtime.compiled import Kernel

ALGORITHMS: tuple[Algorithm, ...] = (
    global_.ALGORITHM, rows.ALGORITHM, separable.ALGORITHM, direct.ALGORITHM, norms.ALGORITHM,
)  # fmt: skip
KERNELS: tuple[Kernel, ...] = (
    *global_.KERNELS,
    *rows.KERNELS,
    *separable.KERNELS,
    *direct.KERNELS,
    *norms.KERNELS,
)

__all__ = ["ALGORITHMS", "KERNELS"]
