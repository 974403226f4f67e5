"""How a gradient by the weight is cut: panels of channels that lie in lanes, chunks of those that do not."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from gpuconv.cpu.simd import LANES, ROWS, VECTORS
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import Dtype

PIXELS = 512  # products that are summed before the sum is added to the others
TURNED_BYTES = 192 << 10  # of what a block of rows sees of a panel's planes, which stays in a cache
SUM_BYTES = 512 << 10  # of a task
LEAST_CHUNK = 4 * ROWS  # for which it is worth turning a panel once more


class Panels(NamedTuple):
    """Channels of a panel, channels of a chunk, and how many tasks of one of each there are."""

    width: int
    chunk: int
    tasks: int


def panels_of(in_lanes: int, in_rows: int, taps: int, groups: int, dtype: Dtype, threads: int) -> Panels:
    """For so many channels of a group in lanes and in rows; a row is of `taps` sums.

    There are about four tasks a thread, if there are channels enough.
    """
    L = LANES[dtype]
    vectors = max(1, -(-in_lanes // L))
    panels = -(-vectors // VECTORS)
    width = -(-vectors // panels) * L
    most = max(1, SUM_BYTES // (taps * VECTORS * L * dtype.itemsize))
    chunks = -(-in_rows // most)
    if threads > 1:
        wanted = -(-4 * threads // (panels * groups))
        chunks = max(chunks, min(wanted, in_rows // LEAST_CHUNK))
    chunk = max(1, -(-in_rows // max(1, chunks)))
    chunk = min(-(-chunk // ROWS) * ROWS, max(1, in_rows))
    return Panels(width, chunk, groups * -(-in_lanes // width) * -(-in_rows // chunk))


def sums_of(panels: Panels, taps: int, dtype: Dtype) -> int:
    """Elements of a task's sums: of each tap, and each channel of a chunk, a row of vectors."""
    return taps * panels.chunk * VECTORS * LANES[dtype]


def rows_within(spec: ConvSpec, size: Callable[[int], int]) -> int:
    """Rows of outputs of a block: the most whose `size` in bytes, and pixels, are few enough, or one."""
    most = max(1, min(spec.P, PIXELS // max(1, spec.Q)))
    rows = next((rows for rows in range(most, 1, -1) if size(rows) <= TURNED_BYTES), 1)
    return -(-spec.P // max(1, -(-spec.P // rows)))


def one_channel(spec: ConvSpec) -> ConvSpec:
    """The same geometry of one plane."""
    return replace(spec, C=1, K=1, groups=1, direction="forward")
