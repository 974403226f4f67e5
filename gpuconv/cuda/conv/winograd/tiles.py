"""How `conv_winograd` cuts a problem, and what that is predicted to cost beside the implicit GEMM.

As for the implicit GEMM, cycles are predicted (`runtime/cost.py`), so that the two can be compared: LOOP and
OVERHEAD are instructions of a warp of the main kernel, ARITHMETIC those of a slab that multiply or add. The
one block of a multiprocessor has two warps for each scheduler. The weights are transformed in a kernel of
their own. Where there are few blocks, several share the input channels of each, and a last kernel adds up
their sums in order (`conv/split.py`). On the layers of U-Net and VGG-16 on an A100, an L4 and an RTX 4090
this is within 12 % of what `profiling.model` predicts, and within 3 % in the median.
"""

import functools
from dataclasses import dataclass

from gpuconv.cuda.conv.split import cycles_of_sum, inputs_and_output, partial_bytes, splits_of
from gpuconv.cuda.conv.winograd.load import TILES
from gpuconv.cuda.conv.winograd.transform import BLOCK_K, SLAB_C, SLAB_WORDS, WARPS
from gpuconv.cuda.device.limits import LANES, SCHEDULERS
from gpuconv.cuda.runtime.cost import (
    ISSUE,
    busiest,
    busiest_scheduler,
    cache_rate,
    cost,
    moving,
    start,
    uncached,
)
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.spec import ConvSpec

LOOP, OVERHEAD, ARITHMETIC = 1220, 1600, 1056  # instructions
SLAB_BYTES = 4 * SLAB_WORDS + 9000  # that a block loads for a slab: weights, and inputs (counted)
START = 1000  # cycles that the only block of a multiprocessor waits, beside once for device memory
MAX_SPLITS = 16


@dataclass(frozen=True, slots=True)
class Cut:
    """Tiles of 2 x 2 outputs, blocks of channels, slabs and transformed weights of a problem."""

    tiles_p: int
    tiles_q: int
    tiles: int
    blocks_k: int  # of a group
    slabs: int
    blocks: int  # that cover the outputs once
    weight_blocks: int

    @classmethod
    def of(cls, spec: ConvSpec) -> "Cut":
        tiles_p, tiles_q = -(-spec.P // 2), -(-spec.Q // 2)
        tiles = spec.N * tiles_p * tiles_q
        blocks_k, slabs = -(-spec.K_group // BLOCK_K), -(-spec.C_group // SLAB_C)
        blocks = spec.groups * blocks_k * -(-tiles // TILES)
        return cls(tiles_p, tiles_q, tiles, blocks_k, slabs, blocks, spec.groups * blocks_k * slabs)

    @property
    def weight_words(self) -> int:
        return self.weight_blocks * SLAB_WORDS


@functools.lru_cache(maxsize=1024)
def choose_splits(spec: ConvSpec, workspace: int, gpu: Gpu) -> int:
    """How many blocks are to share the input channels of each, in at most `workspace` bytes."""
    cut = Cut.of(spec)
    choices = splits_of(spec, cut.slabs, MAX_SPLITS, workspace - 4 * cut.weight_words)
    return min(choices, key=lambda splits: cost_of(spec, splits, gpu))


def cost_of(spec: ConvSpec, splits: int, gpu: Gpu) -> tuple[float, float]:
    """Of two kernels, or of three."""
    return cost(cycles(spec, splits, gpu), 2 if splits == 1 else 3, gpu)


def cycles(spec: ConvSpec, splits: int, gpu: Gpu) -> float:
    """Predicted, of all kernels: weights, main and, where blocks share sums, the sum."""
    cut, (inputs, output) = Cut.of(spec), inputs_and_output(spec)
    transformed = 4 * cut.weight_words
    parts = splits * partial_bytes(spec) if splits > 1 else 0
    scratch = transformed + parts
    weights = 4 * spec.K * spec.C_group * 9
    of_weights = moving(weights + transformed, weights + uncached(transformed, scratch, gpu), gpu)
    moved = inputs - weights + (0 if parts else output) + uncached(transformed + parts, scratch, gpu)
    busy = of_weights + start(gpu) + max(_computing(cut, splits, gpu), moving(0, moved, gpu))
    return busy + cycles_of_sum(spec, splits, scratch, gpu) if parts else busy


def _computing(cut: Cut, splits: int, gpu: Gpu) -> float:
    """Predicted cycles of the main kernel, but for device memory."""
    slabs, warps = -(-cut.slabs // splits), busiest_scheduler(WARPS)
    issue = warps * (slabs * LOOP + OVERHEAD) / ISSUE
    math = warps * slabs * ARITHMETIC * LANES * SCHEDULERS / gpu.each.fp32
    work = max(issue, math, slabs * SLAB_BYTES / cache_rate(gpu))
    alone = warps * slabs * LOOP + OVERHEAD + START + gpu.measured.device_latency
    return busiest(cut.blocks * splits, gpu) * max(work, alone)
