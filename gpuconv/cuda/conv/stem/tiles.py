"""The tile that a block of `conv_stem` computes, and what it holds in shared memory, stage by stage.

Pure arithmetic, tested without a GPU. A stage is `rows` rows of taps of one input channel, or all rows of as
many channels as fit. Columns of the input are kept by their remainder modulo the stride (a "phase"), in which
the taps of a phase and the outputs lie side by side: output j meets tap i of its phase at element i + j. The
first phases may have one tap more than the others.

A kernel for few outputs reads taps by fours, and so begins each phase with the `skip` places that the count
lacks to a multiple of four: tap i of a phase lies at place skip + i, and so does element i of the input.
"""

import functools
from dataclasses import dataclass

from gpuconv.cuda.device.limits import LANES, SHARED_BYTES
from gpuconv.cuda.device.rings import CHUNK
from gpuconv.spec import ConvSpec

STAGE_BYTES = 32 * 1024  # several channels would cost more resident blocks than they save barriers
WORD = 4  # bytes


@dataclass(frozen=True, slots=True)
class StemShape:
    """How the threads of a block share its outputs: what is compiled into a kernel.

    A thread computes `thread_k` channels at `thread_q` neighbouring pixels of `thread_rows` rows; `warps_k`
    warps take different channels, the others different rows.
    """

    threads: int
    warps_k: int
    thread_k: int
    thread_rows: int
    thread_q: int

    @property
    def k(self) -> int:
        return self.warps_k * self.thread_k

    @property
    def warps_p(self) -> int:
        return self.threads // LANES // self.warps_k

    @property
    def pitch_k(self) -> int:
        """Words from one tap of the weights to the next; 4 more than the channels, to use all banks."""
        return self.k + 4 if self.thread_k > 1 else 1


THREADS = 128
MANY = 6  # outputs of a group from which on 8 channels at once are better than one after the other
SHAPES = tuple(StemShape(THREADS, warps_k, 8, 2, 4) for warps_k in (1, 2, 4))  # of `many.py`
FEW = StemShape(THREADS, 1, 1, 2, 12)  # of `few.py`


def shape_of(spec: ConvSpec) -> StemShape:
    """The kernel for a number of outputs."""
    if spec.K_group < MANY:
        return FEW
    return next((shape for shape in SHAPES if shape.k >= spec.K_group), SHAPES[-1])


@dataclass(frozen=True, slots=True)
class StemStage:
    """A tile of lanes_q * thread_q columns, and its stages of `rows` rows of taps of `channels` channels."""

    lanes_q: int
    tile_p: int
    tile_q: int
    channels: int
    rows: int
    lines: int  # of the input, of a channel
    columns: int
    phase_pitch: int
    pitch: int
    w_row: int  # places from one row of taps to the next
    w_tile: int  # where the weights begin
    words: int

    @classmethod
    def of(cls, spec: ConvSpec, shape: StemShape, lanes_q: int, channels: int, rows: int) -> "StemStage":
        stride_h, stride_w = spec.stride
        tile_q = lanes_q * shape.thread_q
        tile_p = LANES // lanes_q * shape.warps_p * shape.thread_rows
        lines = (tile_p - 1) * stride_h + rows
        columns = (tile_q - 1) * stride_w + spec.S
        chunks = chunks_of(spec)
        read = tile_q + CHUNK * chunks + (CHUNK if shape.thread_k == 1 else 0)
        phase_pitch = _staggered(read, stride_w)
        pitch = phase_pitch * stride_w
        w_row = spec.S if shape.thread_k > 1 else min(spec.S, stride_w) * CHUNK * chunks
        w_tile = channels * lines * pitch
        words = w_tile + channels * rows * w_row * shape.pitch_k
        if shape.thread_k == 1:  # weights are read one chunk ahead, and outputs pass through the same memory
            words = max(words + CHUNK, tile_p * tile_q)
        return cls(
            lanes_q, tile_p, tile_q, channels, rows, lines, columns, phase_pitch, pitch, w_row, w_tile, words
        )  # fmt: skip

    def blocks(self, spec: ConvSpec, shape: StemShape) -> int:
        """Tiles of all images, groups and channels."""
        pixels = -(-spec.P // self.tile_p) * -(-spec.Q // self.tile_q)
        return spec.N * spec.groups * -(-spec.K_group // shape.k) * pixels


def chunks_of(spec: ConvSpec) -> int:
    """Chunks of the phases with the most taps."""
    taps = -(-spec.S // spec.stride[1])
    return -(-taps // CHUNK)


def _staggered(words: int, phases: int) -> int:
    """At least so many words from phase to phase that neighbours in the image have different banks."""
    shift = LANES // phases // CHUNK * CHUNK if phases > 1 else 0
    return words + (shift - words) % LANES if phases > 1 else words


def choose(spec: ConvSpec, shape: StemShape) -> StemStage | None:
    """The stage with the fewest blocks, then the fewest loads; None if not even one row of taps fits."""
    fitting = []
    for lanes_q in (8, 16, 32):
        several = ((channels, spec.R, STAGE_BYTES) for channels in range(spec.C_group, 1, -1))
        one = ((1, rows, SHARED_BYTES) for rows in range(spec.R, 0, -1))
        stages = (
            (StemStage.of(spec, shape, lanes_q, *extents), limit) for *extents, limit in (*several, *one)
        )
        fitting += [stage for stage, limit in stages if stage.words * WORD <= limit][:1]

    def cost(stage: StemStage) -> tuple[int, int]:
        return stage.blocks(spec, shape), -(-spec.R // stage.rows) * stage.lines * stage.columns

    return min(fitting, key=cost, default=None)


@functools.lru_cache(maxsize=256)
def stage_of(spec: ConvSpec) -> StemStage | None:
    """The stage for a problem, by the kernel for its number of outputs."""
    return choose(spec, shape_of(spec))
