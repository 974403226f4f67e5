"""How `conv_winograd` cuts a problem, and what that is predicted to cost beside the implicit GEMM.

As in `gemm_tiles.py`, cycles of an H200 are predicted from counts and not from measurements, so that the two
can be compared: LOOP and OVERHEAD are instructions of a warp of the main kernel, and a multiprocessor has two
of its warps for each scheduler. The weights are transformed in a kernel of their own. Where there are few
blocks, several share the input channels of each, and a last kernel adds up their sums in order (`split.py`).
"""

import functools
from dataclasses import dataclass

from gpuconv.cuda.gemm_tiles import (
    BYTES_PER_CYCLE,
    EFFICIENCY,
    MULTIPROCESSORS,
    SECOND_KERNEL,
    is_even,
    partial_bytes,
)
from gpuconv.cuda.split import THREADS
from gpuconv.cuda.winograd_kernel import TILES
from gpuconv.cuda.winograd_transform import BLOCK_K, SLAB, SLAB_WORDS
from gpuconv.spec import ConvSpec

LOOP, OVERHEAD = 1220, 1600
WARPS = 2  # of a scheduler
SUM = 560  # cycles of a block of the last kernel, most of which go into finding its outputs
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
        blocks_k, slabs = -(-spec.K_group // BLOCK_K), -(-spec.C_group // SLAB)
        blocks = spec.groups * blocks_k * -(-tiles // TILES)
        return cls(tiles_p, tiles_q, tiles, blocks_k, slabs, blocks, spec.groups * blocks_k * slabs)

    @property
    def weight_words(self) -> int:
        return self.weight_blocks * SLAB_WORDS


@functools.lru_cache(maxsize=1024)
def choose_splits(spec: ConvSpec, workspace: int) -> int:
    """How many blocks are to share the input channels of each, in at most `workspace` bytes."""
    cut = Cut.of(spec)
    left = workspace - 4 * cut.weight_words
    choices = [
        splits
        for splits in range(1, min(MAX_SPLITS, cut.slabs) + 1)
        if splits == 1 or (is_even(cut.slabs, splits) and splits * partial_bytes(spec) <= left)
    ]
    return min(choices, key=lambda splits: cycles(spec, splits))


def cycles(spec: ConvSpec, splits: int) -> float:
    """Predicted cycles of an H200."""
    cut = Cut.of(spec)
    blocks = -(-cut.blocks * splits // MULTIPROCESSORS)  # of the busiest multiprocessor
    slabs = -(-cut.slabs // splits)
    busy = blocks * WARPS * (slabs * LOOP + OVERHEAD) / EFFICIENCY[WARPS - 1]
    busy += SECOND_KERNEL + 4 * (cut.weight_words + spec.K * spec.C_group * 9) / BYTES_PER_CYCLE
    if splits == 1:
        return busy
    sums = -(-spec.K * -(-spec.N * spec.P * spec.Q // THREADS) // MULTIPROCESSORS)
    return busy + SECOND_KERNEL + sums * SUM + 2 * splits * partial_bytes(spec) / BYTES_PER_CYCLE
