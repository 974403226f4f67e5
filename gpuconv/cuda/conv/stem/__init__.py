"""Convolution of few input channels with large windows: the first layer of a network, and image filters.

    y[n, k, p, q] = bias[k] + sum over c, r, s of
                    w[k, c, r, s] * x[n, g C/G + c, p stride + r - top, q stride + s - left]

A block computes a tile of tile_p x tile_q pixels of one image for `k` output channels of one group. Shared
memory holds, for the input channels or the rows of taps that fit (`stem_tiles.py`),

    x tile [c][line][phase][column] float32, with the halo, zero outside of the image; columns by their
                                    remainder modulo the stride, so that neighbouring pixels meet neighbours
    w tile [tap][channel + 4]       of many outputs, or [row][phase][tap] of a few; up to 48 KB together

and two kernels sum in registers, in float32:

    stem_many.py    8 channels x 2 rows x 4 pixels a thread, blocks of 8, 16 or 32 channels
    stem_few.py     1 channel x 2 rows x 12 pixels a thread, fewer than MANY outputs a group

Both load an element from shared memory for several taps at once, as windows slide over registers, and
multiply nothing but taps and elements that meet. The copies of a block overlap with the arithmetic of the
other blocks of a multiprocessor, not with its own: most problems are one stage, and were no copy ever waited
for, the model of `profiling` predicts that 7x7/2 3 -> 64 @224 gained 0.5 % (N 32) or 1.7 % (N 8) on an H200,
and filters of 5x5 to 31x31 on 2048x2048 and 4096x4096 nothing. A sum of stem_many.py has all C/G R S
products; those of stem_few.py begin anew after 256. It cannot do: more than 4 channels a group, dilation,
float64.
Not yet run on a GPU: the tests execute its compiled PTX; speed is not measured.
"""

import functools

from gpuconv.algorithm import Algorithm
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.conv import implicit_gemm as conv_implicit_gemm
from gpuconv.cuda.conv.stem import few as stem_few
from gpuconv.cuda.conv.stem import many as stem_many
from gpuconv.cuda.conv.stem.tiles import Shape, Stage, choose, chunks_of
from gpuconv.cuda.device.division import reciprocal
from gpuconv.cuda.device.limits import LANES
from gpuconv.cuda.device.rings import CHUNK
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch
from gpuconv.spec import ConvSpec

MOST_CHANNELS = 4  # of the input, in a group
MANY = 6  # outputs of a group from which on 8 channels at once are better than one after the other
THREADS = 128
SHAPES = tuple(Shape(THREADS, warps_k, 8, stem_many.ROWS, stem_many.PIXELS) for warps_k in (1, 2, 4))
FEW = Shape(THREADS, 1, 1, stem_few.ROWS, stem_few.PIXELS)
BY_SHAPE: dict[Shape, Kernel] = {
    **{shape: stem_many.make_kernel(shape, blocks_per_sm=3) for shape in SHAPES},
    FEW: stem_few.make_kernel(FEW, blocks_per_sm=3),
}
KERNELS = tuple(BY_SHAPE.values())


def shape_of(spec: ConvSpec) -> Shape:
    """The kernel for a number of outputs."""
    if spec.K_group < MANY:
        return FEW
    return next((shape for shape in SHAPES if shape.k >= spec.K_group), SHAPES[-1])


@functools.lru_cache(maxsize=1024)
def stage_of(spec: ConvSpec) -> Stage | None:
    return choose(spec, shape_of(spec))


def unsupported(spec: ConvSpec) -> str | None:
    if not 1 <= spec.C_group <= MOST_CHANNELS:
        return f"each group has {spec.C_group} input channels, not 1 to {MOST_CHANNELS}"
    if spec.dtype != "float32":
        return "it is compiled for float32 alone"
    if spec.dilation != (1, 1):
        return "the kernel is dilated"
    for outputs, stride, reach in zip((spec.P, spec.Q), spec.stride, (spec.R, spec.S), strict=True):
        if (outputs + 12 * LANES) * stride + reach >= 2**31:
            return "the padded image has a side of about 2^31 or more"
    if max(spec.C, spec.K) >= 2**31:
        return "there are 2^31 channels or more"
    stage = stage_of(spec)
    if stage is None:
        return "a row of taps and the pixels that it meets do not fit shared memory"
    if stage.blocks(spec, shape_of(spec)) > MAX_BLOCKS:
        return "the output needs more blocks than a grid has"
    return None


# For the prediction: instructions of a thread, read off the compiled kernels.
SETUP = 600  # once, with the store
FILL = 12  # for an element of the input tile
PER_PRODUCT = 1.14  # in the loop of many outputs, 1.09 in that of few
PER_PHASE = 40  # before the first chunk of a phase, for few outputs
TILED = {
    1: 0.1,
    4: 0.2,
    32: 0.3,
}  # of the instructions of `conv_tiled` are products, by the channels of a tile
GEMM = 0.8  # of those of the implicit GEMM, where its tiles are full
FEW_BLOCKS = 64  # leave most of a chip idle, and wait for their copies


def worth(spec: ConvSpec) -> bool:
    """Predicted by counting instructions: a larger share of them are products than in what would follow.

    The tiles of `conv_tiled` have 1, 4 or 32 channels, those of the implicit GEMM 32 and slabs of 16 taps,
    of which a share is lost; but a problem of a few blocks is faster by the smaller tiles of the GEMM.
    `profiling.model` predicts on an H200, us, this / the GEMM: 3 -> 64 7x7/2 @224 N 8 66 / 46, 3 -> 32 3x3/2
    @224 N 8 17 / 10, 4 -> 16 7x7 @512 46 / 90, 3 -> 16 3x3 @32 N 8 6.4 / 3.9; this / `conv_tiled`: 3 -> 96
    11x11/4 @224 N 8 68 / 125, 3 -> 1 3x3 @1080 25 / 48, 32 groups of 4 -> 4 3x3 @56 N 8 135 / 38.
    """
    stage, shape = stage_of(spec), shape_of(spec)
    if stage is None:
        return False
    tile = shape.thread_k * shape.thread_rows * shape.thread_q
    phases = min(spec.S, spec.stride[1])
    if shape is FEW:
        chunks = chunks_of(spec)
        loop = spec.R * phases * (PER_PHASE + 1.09 * tile * CHUNK * chunks)
    else:
        loop = PER_PRODUCT * spec.R * spec.S * tile
    stages = -(-spec.R // stage.rows)
    fill = FILL * stages * stage.lines * stage.columns / shape.threads
    issued = stage.blocks(spec, shape) * shape.threads * (SETUP + spec.C_group * (loop + fill))
    share = spec.flops / 2 / issued
    channels = next((channels for channels in TILED if channels >= spec.K_group), 32)
    if share < TILED[channels] * spec.K_group / (-(-spec.K_group // channels) * channels):
        return False
    if conv_implicit_gemm.unsupported(spec):
        return True
    taps = spec.C_group * spec.R * spec.S
    full = taps * spec.K_group / (-(-taps // 16) * 16 * -(-spec.K_group // 32) * 32)
    return share >= GEMM * full and stage.blocks(spec, shape) >= FEW_BLOCKS


@functools.lru_cache(maxsize=1024)
def plan(
    spec: ConvSpec,
    x_strides: tuple[int, ...],
    w_strides: tuple[int, ...],
    bias_strides: tuple[int, ...] | None,
    y_strides: tuple[int, ...],
    y_aligned: bool,
) -> Launch:
    """The launch for a problem, the byte strides of its arrays, and whether y begins on 16 bytes."""
    shape, stage, size = shape_of(spec), stage_of(spec), spec.itemsize
    assert stage is not None
    (top, _), (left, _) = spec.pads
    strides = [step // size for step in (*x_strides, *w_strides, *(bias_strides or (0,)), *y_strides)]
    full, longer = divmod(spec.S, spec.stride[1])
    skips = [-taps % CHUNK if shape is FEW else 0 for taps in (full + 1, full)]
    steps = [step % 16 for step in y_strides[:3]]
    vectors = y_aligned and y_strides[3] == size and not any(steps) and spec.Q % 4 == 0
    scalars = (
        *strides, spec.C_group, spec.H, spec.W, spec.K_group, spec.P, spec.Q, spec.groups, -top, -left,
        *spec.stride, spec.R, spec.S,
        stage.channels, stage.rows, stage.lines, stage.columns, stage.phase_pitch, stage.pitch,
        stage.w_row, stage.w_tile, stage.tile_p, stage.tile_q, stage.lanes_q,
        -(-spec.K_group // shape.k), -(-spec.P // stage.tile_p), -(-spec.Q // stage.tile_q),
        full, longer, *skips, int(bias_strides is not None), int(vectors),
        *reciprocal(spec.stride[1]), *reciprocal(spec.S),
    )  # fmt: skip
    return Launch(BY_SHAPE[shape], stage.blocks(spec, shape), stage.words * size, scalars)


def run(spec: ConvSpec, x: DeviceArray, w: DeviceArray, bias: DeviceArray | None, y: DeviceArray) -> Launch:
    bias_strides = None if bias is None else bias.strides
    launch = plan(spec, x.strides, w.strides, bias_strides, y.strides, y.pointer % 16 == 0)
    return launch.start(y, x, w, bias, y)


ALGORITHM = Algorithm("conv_stem", unsupported, worth, run)
