"""Which problems `conv_stem` takes, which it is worthwhile for, and its launch for one."""

from gpuconv.cuda.conv import implicit_gemm
from gpuconv.cuda.conv.stem.kernel import KERNELS_BY_SHAPE
from gpuconv.cuda.conv.stem.tiles import FEW, StemShape, StemStage, chunks_of, shape_of, stage_of
from gpuconv.cuda.device.division import with_reciprocals
from gpuconv.cuda.device.limits import LANES
from gpuconv.cuda.device.rings import CHUNK
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch, steps
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts

MOST_CHANNELS = 4  # of the input, in a group

# For the prediction: instructions of a thread, read off the compiled kernels.
SETUP = 600  # once, with the store
FILL = 12  # for an element of the input tile
PER_PRODUCT = 1.14  # in the loop of many outputs, 1.09 in that of few
PER_PHASE = 40  # before the first chunk of a phase, for few outputs
# Of the instructions of `conv_tiled` are products, by the channels of a tile.
TILED = {1: 0.1, 4: 0.2, 32: 0.3}
GEMM = 0.8  # of those of the implicit GEMM, where its tiles are full
FEW_BLOCKS = 0.48  # for each multiprocessor: fewer leave most of a chip idle, and wait for their copies


def unsupported(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> str | None:
    if not 1 <= spec.C_group <= MOST_CHANNELS:
        return f"each group has {spec.C_group} input channels, not 1 to {MOST_CHANNELS}"
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


def worth(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> bool:
    """Predicted by counting instructions: a larger share of them are products than in what would follow.

    The tiles of `conv_tiled` have 1, 4 or 32 channels, those of the implicit GEMM 32 and slabs of 16 taps,
    of which a share is lost; but a problem of a few blocks is faster by the smaller tiles of the GEMM.
    `profiling.model` predicted on an H200, when it still shared warps out to all schedulers, us, this / the
    GEMM: 3 -> 64 7x7/2 @224 N 8 66 / 46, 3 -> 32 3x3/2 @224 N 8 17 / 10, 4 -> 16 7x7 @512 46 / 90, 3 -> 16
    3x3 @32 N 8 6.4 / 3.9; this / `conv_tiled`: 3 -> 96 11x11/4 @224 N 8 68 / 125, 3 -> 1 3x3 @1080 25 / 48,
    32 groups of 4 -> 4 3x3 @56 N 8 135 / 38.
    """
    stage, shape = stage_of(spec), shape_of(spec)
    if stage is None:
        return False
    share = _share_of_products(spec, shape, stage)
    channels = next((channels for channels in TILED if channels >= spec.K_group), 32)
    if share < TILED[channels] * spec.K_group / (-(-spec.K_group // channels) * channels):
        return False
    if implicit_gemm.ALGORITHM.unsupported(spec, layouts, gpu):
        return True
    taps = spec.C_group * spec.R * spec.S
    full = taps * spec.K_group / (-(-taps // 16) * 16 * -(-spec.K_group // 32) * 32)
    return share >= GEMM * full and stage.blocks(spec, shape) >= FEW_BLOCKS * gpu.multiprocessors


def _share_of_products(spec: ConvSpec, shape: StemShape, stage: StemStage) -> float:
    """Of the instructions that are issued."""
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
    return spec.flops / 2 / issued


def plan(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> Launch:
    """The launch for a problem; its pointers are x, w, the bias and y."""
    shape, stage, bias, y = shape_of(spec), stage_of(spec), layouts.bias, layouts.y
    assert stage is not None
    (top, _), (left, _) = spec.pads
    full, longer = divmod(spec.S, spec.stride[1])
    skip_long, skip_short = (-taps % CHUNK if shape is FEW else 0 for taps in (full + 1, full))
    *rows, step = y.elements
    vectors = y.offset == 0 and step == 1 and spec.Q % 4 == 0 and not any(each % 4 for each in rows)
    scalars = {
        **steps(x_nchw=layouts.x.elements, w_kcrs=layouts.w.elements, y_nkpq=y.elements),
        "bias_k": bias.elements[0] if bias else 0, "has_bias": int(bias is not None),
        "C": spec.C_group, "H": spec.H, "W": spec.W, "K": spec.K_group, "P": spec.P, "Q": spec.Q,
        "R": spec.R, "groups": spec.groups, "h_origin": -top, "w_origin": -left,
        "stride_h": spec.stride[0], "channels": stage.channels, "rows": stage.rows, "lines": stage.lines,
        "columns": stage.columns, "phase_pitch": stage.phase_pitch, "pitch": stage.pitch,
        "w_row": stage.w_row, "w_tile": stage.w_tile, "tile_p": stage.tile_p, "tile_q": stage.tile_q,
        "lanes_q": stage.lanes_q, "tiles_k": -(-spec.K_group // shape.k),
        "tiles_p": -(-spec.P // stage.tile_p), "tiles_q": -(-spec.Q // stage.tile_q), "full": full,
        "longer": longer, "skip_long": skip_long, "skip_short": skip_short, "vectors": int(vectors),
        **with_reciprocals({"phases": spec.stride[1], "S": spec.S}),
    }  # fmt: skip
    blocks = stage.blocks(spec, shape)
    return Launch(KERNELS_BY_SHAPE[shape], blocks, stage.words * spec.itemsize, scalars)
