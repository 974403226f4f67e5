"""Convolution as a product of matrices, the second of which is gathered while it is multiplied.

    y[k, pixel] = bias[k] + sum over taps of w[k, tap] * x[base(pixel) + place(tap)]

K output channels by N P Q pixels, over the C R S taps of each group. `gemm_kernel.py` has the kernel and the
picture of its tile, `gemm_input.py`, `gemm_weights.py` and `gemm_store.py` how it loads and stores,
`gather.py` says how taps are found, `gemm_tiles.py` which tile a problem takes on a GPU.

A 1x1 kernel over images whose pixels lie side by side, 16-byte aligned, needs no gather: it is loaded 16
bytes at a time. Outputs are stored so where they lie so. Where there are few pixels and many taps, several
blocks share the depth, and `split.py` adds up their sums in order.

Zero padding is multiplied like any value, so a NaN or infinite weight shows at the borders too. A sum is one
chain of fused multiply-adds over its depth. Weights whose taps are not side by side, and images so large
that the place of a tap does not fit 32 bits, are computed by `conv_tiled`; float64 is left to it. Before
sm_80, loads do not overlap with arithmetic. Not yet run on a GPU: the tests execute its compiled PTX.
"""

import functools

from gpuconv.algorithm import Algorithm
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.conv import split
from gpuconv.cuda.conv import tiled as conv_tiled
from gpuconv.cuda.conv.implicit_gemm.gather import MAX_BITS, MAX_ENTRIES, Depth
from gpuconv.cuda.conv.implicit_gemm.kernel import make_kernel
from gpuconv.cuda.conv.implicit_gemm.tiles import TILES, Choice, choose, partial_row
from gpuconv.cuda.runtime.gpu import chip
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch
from gpuconv.spec import ConvSpec
from gpuconv.workspace import workspace_limit

LIMIT = 2**31  # of offsets that are 32 bits wide
FEW_CHANNELS = 4  # so few leave most of a tile of 32 without work,
MANY_TAPS = 64  # which pays where there are so many taps

_KERNELS = {(tile, pointwise): make_kernel(tile, pointwise) for tile in TILES for pointwise in (False, True)}
KERNELS = (*_KERNELS.values(), split.KERNEL)


def unsupported(spec: ConvSpec) -> str | None:
    if spec.dtype != "float32":
        return f"it is written for float32, not {spec.dtype}"
    if spec.R + spec.S > MAX_BITS or Depth.of(spec).entries > MAX_ENTRIES:
        return f"a window of {spec.R} x {spec.S} does not fit its tables"
    if not 0 < Depth.of(spec).taps < 2**24:
        return "a group has no input channels, or 2^24 taps or more"
    for outputs, stride, dilation, taps in zip(
        (spec.P, spec.Q), spec.stride, spec.dilation, (spec.R, spec.S), strict=True
    ):
        if outputs * stride + taps * dilation >= LIMIT:
            return "the padded image has a side of about 2^31 or more"
    if max(spec.C, spec.K, spec.N * spec.P * spec.Q) >= LIMIT - 128:
        return "there are about 2^31 channels or pixels of the output, or more"
    if max(tile.blocks(spec) for tile in TILES) * 32 > MAX_BLOCKS:
        return "the output needs more blocks than a grid has"
    return None


def worth(spec: ConvSpec) -> bool:
    """Predicted: a tile has 32 channels at least, `conv_tiled` has tiles of 1 and 4, but is slow with
    many taps. 64 -> 2 1x1 @512 on an H200, this / `conv_tiled`: 31 / 92 us.
    """
    return spec.K_group > FEW_CHANNELS or spec.C_group * spec.R * spec.S >= MANY_TAPS


Strides = tuple[int, ...]


@functools.lru_cache(maxsize=1024)
def plan(
    spec: ConvSpec,
    x_strides: Strides,
    w_strides: Strides,
    bias_strides: Strides | None,
    y_strides: Strides,
    choice: Choice,
    x_aligned: bool,
    y_aligned: bool,
) -> Launch | split.Passes:
    """The kernels for a problem, the byte strides of its arrays and what begins on 16 bytes.

    The pointers to start it with are x, w, the bias and y.
    """
    x, w, y = (_elements(each) for each in (x_strides, w_strides, y_strides))
    w_k, *w_taps = w
    reach = max(128 * abs(w_k), Depth.of(spec).reach(spec, *x[1:]))
    if reach >= LIMIT or not _taps_are_contiguous(spec, w_taps):
        return conv_tiled.plan(spec, x_strides, w_strides, bias_strides, y_strides)
    bias = None if bias_strides is None else bias_strides[0] // 4
    pointwise = x_aligned and _is_rows_of_pixels(spec, x)
    run, runs, y = split.runs_of(spec, y)
    aligned = y_aligned and split.is_quads(run, y)
    if choice.splits == 1:
        return _launch(spec, choice, pointwise, x, w_k, bias, (*y, 0), run, runs, aligned)
    row = partial_row(spec)
    to_parts = 0, row, 0, 1, spec.K * row
    parts = _launch(spec, choice, pointwise, x, w_k, None, to_parts, row, 1, True)
    total = split.plan_sum(spec, choice.splits, bias, y, run, runs, aligned)
    return split.Passes(choice.splits * spec.K * row, ((parts, (0, 1, 2, 4)), (total, (4, 2, 3))))


def _launch(
    spec: ConvSpec, choice: Choice, pointwise: bool, x: Strides, w_k: int, bias: int | None, y: Strides,
    run: int, runs: int, aligned: bool,
) -> Launch:  # fmt: skip
    """The kernel for strides in elements, those of y being (n, k, p, q, split)."""
    tile, depth = choice.tile, Depth.of(spec)
    (top, _), (left, _) = spec.pads
    scalars = (
        *x, depth.channels * x[1], bias or 0, *y,
        w_k, spec.H, spec.W, spec.K_group, spec.P, spec.Q, spec.C_group, spec.groups, -top, -left,
        *spec.stride, *spec.dilation, spec.R, spec.S, depth.taps, depth.period, spec.N * spec.P * spec.Q,
        -(-depth.slabs // choice.splits), choice.splits, -(-spec.K_group // tile.k), run, runs,
        int(bias is not None), int(aligned),
    )  # fmt: skip
    shared = tile.shared_bytes(0 if pointwise else depth.table_bytes)
    return Launch(_KERNELS[tile, pointwise], tile.blocks(spec) * choice.splits, shared, scalars)


def _elements(strides: Strides) -> Strides:
    return tuple(step // 4 for step in strides)


def _taps_are_contiguous(spec: ConvSpec, w: list[int]) -> bool:
    """Whether the weights of one output channel lie side by side."""
    packed = spec.R * spec.S, spec.S, 1
    extents = spec.C_group, spec.R, spec.S
    return all(step == wanted or n == 1 for step, wanted, n in zip(w, packed, extents, strict=True))


def _is_rows_of_pixels(spec: ConvSpec, x: Strides) -> bool:
    """Whether every 4 neighbouring outputs read 4 neighbouring elements of a channel, 16 bytes aligned."""
    x_n, x_c, x_h, x_w = x
    same = spec.is_pointwise and spec.stride == (1, 1) and spec.pads == ((0, 0), (0, 0))
    rows = x_w == 1 and (x_h == spec.W or spec.H == 1)
    return same and rows and spec.H * spec.W % 4 == 0 and x_c % 4 == 0 and (x_n % 4 == 0 or spec.N == 1)


def run(
    spec: ConvSpec, x: DeviceArray, w: DeviceArray, bias: DeviceArray | None, y: DeviceArray
) -> Launch | split.Passes:
    launch = plan(
        spec, x.strides, w.strides, None if bias is None else bias.strides, y.strides,
        choose(spec, workspace_limit(), chip(y.device)), x.pointer % 16 == 0, y.pointer % 16 == 0,
    )  # fmt: skip
    return launch.start(y, x, w, bias, y)


ALGORITHM = Algorithm(
    "conv_implicit_gemm", unsupported, worth, run, "more than 4 output channels in a group (predicted)"
)
