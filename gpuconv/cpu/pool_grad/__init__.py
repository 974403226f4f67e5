"""The gradients of pools of means, and of norms, by their input, in order of preference.

y[n, c, h, w] = sum over the windows (p, q) that have (h, w) of x[n, c, p, q] / divisor of (p, q)
"""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu.engine import planewise
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.cpu.pool_grad import norms, shares, whole
from gpuconv.cpu.pool_grad.taken import TAKEN

_MEANS = whole.ALGORITHM, shares.ALGORITHM
ALGORITHMS: Algorithms = (
    planewise.over("shares_widened", TAKEN, _MEANS), *_MEANS, norms.over(_MEANS),
)  # fmt: skip
KERNELS: tuple[Kernel, ...] = (whole.fill_planes, shares.add_shares)

__all__ = ["ALGORITHMS", "KERNELS"]
