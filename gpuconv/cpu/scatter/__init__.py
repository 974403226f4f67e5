"""Values put where indices say, in order of preference: a max pool turned round, and its gradient.

y[n, c, h, w] = the sum, or the last, of x[n, c, p, q] where indices[n, c, p, q] = h W + w
"""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu.engine import planewise
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.cpu.scatter import ordered

ALGORITHMS: Algorithms = (
    planewise.over("scatter_widened", ordered.TAKEN, (ordered.ALGORITHM,)),
    ordered.ALGORITHM,
)  # fmt: skip
KERNELS: tuple[Kernel, ...] = (ordered.scatter,)

__all__ = ["ALGORITHMS", "KERNELS"]
