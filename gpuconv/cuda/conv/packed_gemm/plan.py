"""Which problems the packed GEMM takes, and its passes for one: pack, multiply, add up what blocks shared.

    memory of our own    packed weights, packed input of some images, their partial sums

An input that lies packed already is read where it lies. Images are packed as many at a time as a workspace
may hold.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from gpuconv.cuda.conv.operands import Operands
from gpuconv.cuda.conv.packed_gemm.kernel import KERNELS_BY_TILE
from gpuconv.cuda.conv.packed_gemm.pack import CHANNELS, PIXELS, PIXELS_KERNELS, THREADS, WEIGHTS_KERNELS
from gpuconv.cuda.conv.packed_gemm.tiles import PIECES, TILES, PackedChoice, PackedDepth, choose, cost_of
from gpuconv.cuda.conv.split import is_grouped, is_quads, partial_bytes, partial_row, plan_sum, runs_of
from gpuconv.cuda.conv.tiled import least_cycles
from gpuconv.cuda.device.division import with_reciprocals
from gpuconv.cuda.ptx.assembly import AMPERE
from gpuconv.cuda.runtime.cost import moving, start
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch, steps
from gpuconv.cuda.runtime.passes import BIAS, SCRATCH, Parts, Step, W, X, Y
from gpuconv.cuda.runtime.scratch import ELEMENT_BYTES
from gpuconv.spec import ConvLayouts, ConvSpec
from gpuconv.spec.layouts import ALIGNED, Layout
from gpuconv.workspace import workspace_limit

COUNTED = 2**31  # below which all numbers are that the kernels count in 32 bits


class Packed(NamedTuple):
    """Elements between what follows each other along the axes of the input as the product reads it."""

    n: int
    g: int
    h: int
    w: int


def unsupported(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> str | None:
    if gpu.capability < AMPERE:
        return f"{gpu.arch} has no tensor cores that multiply what is loaded asynchronously"
    if not spec.C_group:
        return "a group has no input channels"
    for outputs, stride, dilation, taps in zip(
        (spec.P, spec.Q), spec.stride, spec.dilation, (spec.R, spec.S), strict=True
    ):
        if outputs * stride + taps * dilation >= COUNTED:
            return "the padded image has a side of about 2^31 or more"
    depth = PackedDepth.of(spec)
    if max(spec.C, spec.K, spec.N * spec.P * spec.Q) >= COUNTED - 128 or _pieces(spec) >= COUNTED:
        return "there are about 2^31 channels, weights or pixels of the output, or more"
    if max(tile.blocks(spec) for tile in TILES) * 32 > MAX_BLOCKS or _blocks(spec, depth) > MAX_BLOCKS:
        return "it needs more blocks than a grid has"
    if _in_place(spec, layouts.x) is None:
        needed = spec.K * depth.row_bytes + _image_bytes(replace(spec, N=1))
        if needed > workspace_limit():
            return f"a packed image takes {needed} bytes, and the workspace is limited to {workspace_limit()}"
    elif spec.K * depth.row_bytes > workspace_limit():
        return f"the packed weights take {spec.K * depth.row_bytes} bytes, more than the workspace may have"
    return None


def worth(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> bool:
    """Predicted: whether it takes less than `conv_tiled`."""
    product = cost_of(spec, choose(spec, workspace_limit(), gpu), gpu)[1]
    return product + _packing_cycles(spec, layouts, gpu) < least_cycles(spec, gpu)


def plan(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> Parts:
    """The passes for a problem; the pointers to start them with are x, w, the bias and y."""
    if 0 in spec.out_shape:
        return Parts((), len(layouts))
    depth, packed = PackedDepth.of(spec), _in_place(spec, layouts.x)
    w_bytes = spec.K * depth.row_bytes
    found, most = [Step(_pack_weights(spec, layouts.w, depth), ((W, 0), (SCRATCH, 0)))], 0
    for part, n in _pieces_of_images(spec, packed is not None, workspace_limit() - w_bytes):
        x_begin, y_begin = n * layouts.x.strides[0], n * layouts.y.strides[0]
        source, x_bytes = (X, x_begin), 0
        if packed is None:
            source, x_bytes = (SCRATCH, w_bytes), _image_bytes(part)
            found.append(Step(_pack_pixels(part, layouts.x, depth), ((X, x_begin), source)))
        y = layouts.y._replace(offset=(layouts.y.offset + y_begin) % ALIGNED)
        choice = choose(part, max(0, workspace_limit() - w_bytes - x_bytes), gpu)
        arrays = source, (SCRATCH, 0), (BIAS, 0), (Y, y_begin), (SCRATCH, w_bytes + x_bytes)
        found += _product(part, choice, packed or _packed(part, depth), layouts.bias, y, arrays)
        shares = choice.splits * partial_bytes(part) if choice.splits > 1 else 0
        most = max(most, w_bytes + x_bytes + shares)
    return Parts(tuple(found), len(layouts), between=-(-most // ELEMENT_BYTES // ALIGNED) * ALIGNED)


def _pieces_of_images(spec: ConvSpec, in_place: bool, workspace: int) -> Iterator[tuple[ConvSpec, int]]:
    """(problem, first image) of as many images as can be packed at once."""
    images = spec.N if in_place else max(1, workspace // max(1, _image_bytes(replace(spec, N=1))))
    for n in range(0, spec.N, max(1, images)):
        yield replace(spec, N=min(images, spec.N - n)), n


def _product(
    spec: ConvSpec, choice: PackedChoice, x: Packed, bias: Layout | None, y: Layout,
    arrays: tuple[tuple[int, int], ...],
) -> list[Step]:  # fmt: skip
    """The product, and the sum of its shares; `arrays` say where x, w, bias, y and the shares begin."""
    operands, bias_k = Operands.of(spec), bias.elements[0] if bias else None
    run, runs, strides = runs_of(spec, y.elements)
    if choice.splits == 1:
        paired = y.offset % (2 * spec.result.itemsize) == 0 and is_grouped(run, strides, 2)
        launch = _multiply(spec, choice, operands, x, bias_k, (*strides, 0), run, runs, paired)
        return [Step(launch, arrays[:4])]
    row, sums = partial_row(spec), spec.result.arithmetic
    to_shares = 0, row, 0, 1, spec.K * row
    launch = _multiply(spec, choice, operands._replace(y=sums), x, None, to_shares, row, 1, True)
    aligned = y.offset % (4 * spec.result.itemsize) == 0 and is_quads(run, strides)
    total = plan_sum(spec, choice.splits, bias_k, strides, run, runs, aligned)
    return [Step(launch, (*arrays[:3], arrays[4])), Step(total, (arrays[4], arrays[2], arrays[3]))]


def _multiply(
    spec: ConvSpec, choice: PackedChoice, operands: Operands, x: Packed, bias: int | None, y: tuple[int, ...],
    run: int, runs: int, paired: bool,
) -> Launch:  # fmt: skip
    """The kernel for strides in elements, those of y being (n, k, p, q, split)."""
    tile, depth = choice.tile, PackedDepth.of(spec)
    (top, _), (left, _) = spec.pads
    taps, step_c = divmod(PIECES, depth.chunks)
    step_r, step_s = divmod(taps, spec.S)
    pixels = spec.N * spec.P * spec.Q
    scalars = {
        **steps(x_nghw=x, y_nkpq=y[:4]), "y_split": y[4], "w_k": depth.row_bytes // spec.itemsize,
        "bias_k": bias or 0, "has_bias": int(bias is not None),
        "H": spec.H, "W": spec.W, "K": spec.K_group, "P": spec.P, "Q": spec.Q, "R": spec.R, "S": spec.S,
        "groups": spec.groups, "h_origin": -top, "w_origin": -left,
        **steps(stride_hw=spec.stride, dilation_hw=spec.dilation),
        "chunks": depth.chunks, "step_c": step_c, "step_s": step_s, "step_r": step_r, "pixels": pixels,
        "slabs": -(-depth.slabs // choice.splits), "all_slabs": depth.slabs,
        "tiles_k": -(-spec.K_group // tile.k), "tiles_pixels": -(-pixels // tile.pixels),
        **with_reciprocals({"run": run, "runs": runs}), "paired": int(paired),
        "channels_last": int(y[1] == 1 and y[3] != 1),
    }  # fmt: skip
    return Launch(
        KERNELS_BY_TILE[operands, tile], tile.blocks(spec) * choice.splits, tile.shared_bytes, scalars
    )


def _in_place(spec: ConvSpec, x: Layout) -> Packed | None:
    """How the input lies, if as it is read: channels side by side, in pieces that are whole and aligned."""
    piece = PackedDepth.of(spec).elements
    n, c, h, w = (0 if extent == 1 else step for step, extent in zip(x.elements, spec.in_shape, strict=True))
    whole = spec.C_group % piece == 0 and x.offset % ALIGNED == 0
    if not whole or c != 1 or any(step % piece for step in (n, h, w)):
        return None
    return Packed(n, spec.C_group, h, w)


def _packing_cycles(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> float:
    """Predicted, of what packs: what it reads and writes; of the input's kernel, its start too."""
    moved = 2 * spec.K * PackedDepth.of(spec).row_bytes
    if _in_place(spec, layouts.x) is None:
        return start(gpu) + moving(0, moved + 2 * _image_bytes(spec), gpu)
    return moving(0, moved, gpu)


def _packed(spec: ConvSpec, depth: PackedDepth) -> Packed:
    pixel = spec.groups * depth.channels
    return Packed(spec.H * spec.W * pixel, depth.channels, spec.W * pixel, pixel)


def _image_bytes(spec: ConvSpec) -> int:
    """Of the packed input."""
    return spec.N * spec.H * spec.W * spec.groups * PackedDepth.of(spec).channels * spec.itemsize


def _pieces(spec: ConvSpec) -> int:
    """Of the packed weights."""
    return spec.K * PIECES * PackedDepth.of(spec).slabs


def _blocks(spec: ConvSpec, depth: PackedDepth) -> int:
    """Of what packs the input."""
    return -(-spec.N * spec.H * spec.W // PIXELS) * spec.groups * -(-depth.channels // CHANNELS)


def _pack_pixels(spec: ConvSpec, x: Layout, depth: PackedDepth) -> Launch:
    scalars = {
        **steps(x_nchw=x.elements), "pixels": spec.N * spec.H * spec.W, "C": spec.C_group, "H": spec.H,
        "W": spec.W, "groups": spec.groups, "chunks": depth.chunks, "tiles_c": -(-depth.channels // CHANNELS),
    }  # fmt: skip
    return Launch(PIXELS_KERNELS[spec.itemsize], _blocks(spec, depth), 0, scalars)


def _pack_weights(spec: ConvSpec, w: Layout, depth: PackedDepth) -> Launch:
    scalars = {
        **steps(w_kcrs=w.elements), "pieces": _pieces(spec), "row_pieces": PIECES * depth.slabs,
        "C": spec.C_group, "R": spec.R, "S": spec.S, "chunks": depth.chunks,
    }  # fmt: skip
    return Launch(WEIGHTS_KERNELS[spec.itemsize], -(-_pieces(spec) // THREADS), 0, scalars)
