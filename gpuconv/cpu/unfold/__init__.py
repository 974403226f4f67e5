"""Windows of images as columns of a matrix, and added up again, in order of preference.

matrix[n, (c R + r) S + s, p Q + q] = image[n, c, p stride + r dilation - top, q stride + s dilation - left]
"""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu.engine import planewise
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.cpu.unfold import rows, slices, sums

ALGORITHMS: Algorithms = (
    rows.ALGORITHM, slices.ALGORITHM, planewise.over("fold_widened", sums.TAKEN, (sums.ALGORITHM,)),
    sums.ALGORITHM,
)  # fmt: skip
KERNELS: tuple[Kernel, ...] = (rows.copy_rows, sums.add_rows)

__all__ = ["ALGORITHMS", "KERNELS"]
