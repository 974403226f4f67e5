"""Which problems the implicit GEMM takes, and its launch for one, or two where blocks share the depth."""

from gpuconv.cuda.conv.implicit_gemm.gather import MAX_BITS, MAX_ENTRIES, Depth
from gpuconv.cuda.conv.implicit_gemm.kernel import KERNELS_BY_TILE
from gpuconv.cuda.conv.implicit_gemm.tiles import (
    FLOAT32_SUMS,
    TF32,
    THREE_TF32,
    TILES,
    TILES_OF,
    Arithmetic,
    GemmChoice,
    choose,
    least_cost,
)
from gpuconv.cuda.conv.split import is_quads, partial_row, plan_sum, runs_of
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch, steps
from gpuconv.cuda.runtime.passes import BIAS, SCRATCH, Passes, W, X, Y
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ALIGNED, ConvLayouts
from gpuconv.workspace import workspace_limit

OFFSETS = 2**31  # below which those are that are 32 bits wide
FEW_CHANNELS = 4  # so few leave most of a tile of 32 without work,
MANY_TAPS = 64  # which pays where there are so many taps

LONG_CHAIN = 2**15  # taps of a sum that stays in the tensor cores

Strides = tuple[int, ...]


def unsupported(arithmetic: Arithmetic, spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> str | None:
    reason = too_large(spec)
    if reason is None and arithmetic.products and not gpu.each.tf32:
        return f"{gpu.name} has no tensor cores for tf32, which came with sm_80"
    if reason is None and arithmetic is TF32 and Depth.of(spec).taps > LONG_CHAIN:
        return f"tensor cores cut off more of a sum of more than {LONG_CHAIN} products than tf32 does of them"
    if reason is None and not _taps_are_contiguous(spec, layouts.w.elements):
        return "the taps of the weights do not lie side by side"
    if reason is None and _reach(spec, layouts) >= OFFSETS:
        return "the taps of a window lie 2^31 elements or more from each other"
    return reason


def too_large(spec: ConvSpec) -> str | None:
    """Why the kernel cannot count the taps, the pixels or the blocks of a problem."""
    if spec.R + spec.S > MAX_BITS or Depth.of(spec).entries > MAX_ENTRIES:
        return f"a window of {spec.R} x {spec.S} does not fit its tables"
    if not 0 < Depth.of(spec).taps < 2**24:
        return "a group has no input channels, or 2^24 taps or more"
    for outputs, stride, dilation, taps in zip(
        (spec.P, spec.Q), spec.stride, spec.dilation, (spec.R, spec.S), strict=True
    ):
        if outputs * stride + taps * dilation >= OFFSETS:
            return "the padded image has a side of about 2^31 or more"
    if max(spec.C, spec.K, spec.N * spec.P * spec.Q) >= OFFSETS - 128:
        return "there are about 2^31 channels or pixels of the output, or more"
    if max(tile.blocks(spec) for tile in TILES) * 32 > MAX_BLOCKS:
        return "the output needs more blocks than a grid has"
    return None


def worth(arithmetic: Arithmetic, spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> bool:
    """Predicted: a tile has 32 channels at least, `conv_tiled` has tiles of 1 and 4, but is slow with
    many taps. 64 -> 2 1x1 @512 on an H200, this / `conv_tiled`: 31 / 92 us. Tensor cores, where their error
    is allowed and they cost less than multiply-adds: what is split keeps to the bound of a plain sum in the
    norm, that is in layers of networks.
    """
    if not (spec.K_group > FEW_CHANNELS or spec.C_group * spec.R * spec.S >= MANY_TAPS):
        return False
    if arithmetic is FLOAT32_SUMS:
        return True
    if arithmetic is THREE_TF32 and not spec.may_mix_neighbours:
        return False
    limit = workspace_limit()
    return least_cost(spec, limit, gpu, TILES_OF[arithmetic]) < least_cost(spec, limit, gpu)


def seconds(arithmetic: Arithmetic, spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> float:
    """Predicted, from a call to the next like it."""
    return 1e-6 * gpu.microseconds(least_cost(spec, workspace_limit(), gpu, TILES_OF[arithmetic])[0])


def plan(arithmetic: Arithmetic, spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> Launch | Passes:
    """The kernels for a problem; the pointers to start them with are x, w, the bias and y."""
    choice = choose(spec, workspace_limit(), gpu, TILES_OF[arithmetic])
    bias = layouts.bias.elements[0] if layouts.bias else None
    pointwise = layouts.x.offset % ALIGNED == 0 and _is_rows_of_pixels(spec, layouts.x.elements)
    run, runs, y = runs_of(spec, layouts.y.elements)
    aligned = layouts.y.offset % ALIGNED == 0 and is_quads(run, y)
    if choice.splits == 1:
        return _launch(spec, choice, pointwise, layouts, bias, (*y, 0), run, runs, aligned)
    row = partial_row(spec)
    to_parts = 0, row, 0, 1, spec.K * row
    parts = _launch(spec, choice, pointwise, layouts, None, to_parts, row, 1, True)
    total = plan_sum(spec, choice.splits, bias, y, run, runs, aligned)
    return Passes(choice.splits * spec.K * row, ((parts, (X, W, BIAS, SCRATCH)), (total, (SCRATCH, BIAS, Y))))


def _launch(
    spec: ConvSpec, choice: GemmChoice, pointwise: bool, layouts: ConvLayouts, bias: int | None, y: Strides,
    run: int, runs: int, aligned: bool,
) -> Launch:  # fmt: skip
    """The kernel for strides in elements, those of y being (n, k, p, q, split)."""
    tile, depth, x = choice.tile, Depth.of(spec), layouts.x.elements
    (top, _), (left, _) = spec.pads
    scalars = {
        **steps(x_nchw=x, y_nkpq=y[:4]), "x_period": depth.channels * x[1], "y_split": y[4],
        "w_k": layouts.w.elements[0], "bias_k": bias or 0, "has_bias": int(bias is not None),
        "H": spec.H, "W": spec.W, "K": spec.K_group, "P": spec.P, "Q": spec.Q, "C": spec.C_group,
        "R": spec.R, "S": spec.S, "groups": spec.groups, "h_origin": -top, "w_origin": -left,
        **steps(stride_hw=spec.stride, dilation_hw=spec.dilation),
        "taps": depth.taps, "period": depth.period, "pixels": spec.N * spec.P * spec.Q,
        "slabs": -(-depth.slabs // choice.splits), "splits": choice.splits,
        "tiles_k": -(-spec.K_group // tile.k), "run": run, "runs": runs, "aligned": int(aligned),
    }  # fmt: skip
    shared = tile.shared_bytes(0 if pointwise else depth.table_bytes)
    return Launch(KERNELS_BY_TILE[tile, pointwise], tile.blocks(spec) * choice.splits, shared, scalars)


def _reach(spec: ConvSpec, layouts: ConvLayouts) -> int:
    """The greatest offset that the kernel keeps in 32 bits, in elements."""
    return max(128 * abs(layouts.w.elements[0]), Depth.of(spec).reach(spec, *layouts.x.elements[1:]))


def _taps_are_contiguous(spec: ConvSpec, w: Strides) -> bool:
    """Whether the weights of one output channel lie side by side."""
    packed = spec.R * spec.S, spec.S, 1
    extents = spec.C_group, spec.R, spec.S
    return all(step == wanted or n == 1 for step, wanted, n in zip(w[1:], packed, extents, strict=True))


def _is_rows_of_pixels(spec: ConvSpec, x: Strides) -> bool:
    """Whether every 4 neighbouring outputs read 4 neighbouring elements of a channel, 16 bytes aligned."""
    x_n, x_c, x_h, x_w = x
    same = spec.is_pointwise and spec.stride == (1, 1) and spec.pads == ((0, 0), (0, 0))
    rows = x_w == 1 and (x_h == spec.W or spec.H == 1)
    return same and rows and spec.H * spec.W % 4 == 0 and x_c % 4 == 0 and (x_n % 4 == 0 or spec.N == 1)
