"""The gradients of a convolution by its weight, in order of preference.

    dw[k, c, r, s] = sum over n, p, q of dy[n, k, p, q] * x[n, g C/G + c, p stride + r dilation - top, ..]

A matrix product that sums over pixels, of which all arrays have theirs side by side: what one factor has of
several channels at a pixel has to be turned into a vector first. `channels` turns x, `outputs` dy, and
`depthwise` both; `rows` turns nothing, and adds up vectors of pixels; `direct` is the definition. `lowered`
leaves other dtypes to them.
"""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu.conv_weight import channels, depthwise, direct, lowered, outputs, rows
from gpuconv.cpu.engine.compiled import Kernel

_SUMS: Algorithms = (
    depthwise.ALGORITHM, rows.ALGORITHM, channels.ALGORITHM, outputs.ALGORITHM, direct.ALGORITHM,
)  # fmt: skip
ALGORITHMS: Algorithms = (*_SUMS, lowered.of_sixteen_bits(_SUMS), lowered.of_complex(_SUMS))
KERNELS: tuple[Kernel, ...] = (
    depthwise.sum_planes,
    rows.sum_rows,
    channels.sum_channels,
    outputs.sum_outputs,
    direct.sum_taps,
)

__all__ = ["ALGORITHMS", "KERNELS"]
