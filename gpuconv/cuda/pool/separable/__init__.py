"""Separable pooling: each window is reduced in width first, then in height. Any window, stride and dilation.

    y[n, c, p, q] = max, or sum / divisor, over r, s of
                    x[n, c, p stride + r dilation - top, q stride + s dilation - left]

A block computes `tile_q` outputs of `tile_p` rows of one plane, or of several small planes:

    image   [planes][rows][columns]  --fill-->      x tile  [planes][rows][pitch]        shared memory
                                     --row pass-->  lines   [planes][rows][lines_pitch]  shared memory
                                     --columns--->  y       [planes][tile_p][tile_q]     device memory

Each step has its items numbered flat, and a thread takes every THREADS-th; a barrier stands between steps.
    fill      an item is a vector of up to 128 bits of a row of the image
    row pass  COUNT neighbouring windows of a row; lanes lie an odd number of words apart
    columns   COUNT rows of a vector of columns, which leave as one access a row; lanes lie side by side

So an element of the image is requested once for each tile that it is in, and a window of R x S takes about
2 (R + S) / COUNT steps instead of R S at stride 1, R + S / stride at others. Shared memory is at most 48 KiB
a block: `separable_tiles.py` has its layout and how tiles are chosen, `separable_fill.py`,
`separable_passes.py` and `separable_chains.py` the steps. Coordinates are unsigned and wrap, so that one
comparison checks both borders; padding is -inf, or 0, and rows of padding are never loaded.

`wide` kernels load and store whole aligned vectors. `narrow` ones store elements, and load vectors where
they can: any strides. It gives no indices: they would double what shared memory holds and more than double
the comparisons, and are left to `pool_direct`, as are windows so large that no tile of them fits.
Not yet run on a GPU: the tests execute its compiled PTX; speed is not measured.
"""

import functools
import itertools
import math

from numba import cuda, int32, int64, types, uint32

from gpuconv.algorithm import Algorithm
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.device.division import DIVIDED, LIMIT, divisors, quotient_and_rest, reciprocal
from gpuconv.cuda.device.elements import ELEMENTS, add
from gpuconv.cuda.device.limits import VECTOR_BYTES
from gpuconv.cuda.pool import direct as pool_direct
from gpuconv.cuda.pool.separable.load import make_fill
from gpuconv.cuda.pool.separable.passes import make_column_pass, make_row_pass
from gpuconv.cuda.pool.separable.tiles import COUNT, THREADS, WIDEST, Tile, is_chained, tile_for
from gpuconv.cuda.ptx.async_copy import shared_address
from gpuconv.cuda.ptx.extremes import maximum
from gpuconv.cuda.runtime.compiled import SCALARS, Kernel
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import PoolSpec

BLOCKS_PER_SM = {"float32": 4, "float64": 3}


def make_kernel(dtype: str, op: str, wide: bool) -> Kernel:
    element = ELEMENTS[dtype]
    scalar = element.scalar
    average = op == "avg"
    nothing = 0.0 if average else -math.inf
    both, divided = (add, DIVIDED[dtype]) if average else (maximum, None)
    VECTOR = VECTOR_BYTES * 8 // scalar.bitwidth
    WIDTH = VECTOR if wide else 1
    fill_vectors, fill_pairs, fill_elements = (make_fill(element, width, nothing) for width in (VECTOR, 2, 1))
    reduce_rows = make_row_pass(scalar, both)
    reduce_columns = make_column_pass(scalar, both, WIDTH, divided)

    def pool_separable(
        x, y, x_n, x_c, y_n, y_c, x_plane, x_h, x_w, y_plane, y_p, y_q,  # strides in elements
        C, C_by, C_shift, H, W, P, Q, R, S, stride_h, stride_w, dilation_h, dilation_w, h_origin, w_origin,
        planes_all, planes_of_tile, tile_p, tile_q,
        across, across_by, across_shift, down, down_by, down_shift,  # tiles, and for division by them
        rows_count, rows_by, rows_shift, skipped, fill_count, fill_by, fill_shift,
        accesses_count, accesses_by, accesses_shift,
        group_count, group_lanes, group_by, group_shift, vector_count, vector_lanes, vector_by, vector_shift,
        strips_count, strips_by, strips_shift,
        chained_p, chained_q, load, pitch, step, lead, mask, shift, phase_pitch, begin, lines_pitch,
        rows_from, rows_to, columns_from, columns_to, counted, divisor_override,
    ):  # fmt: skip
        base = shared_address(cuda.shared.array(0, scalar, alignment=16), uint32(0))
        rows, accesses = (rows_count, rows_by, rows_shift), (accesses_count, accesses_by, accesses_shift)
        groups = group_count, group_lanes, group_by, group_shift
        vectors = vector_count, vector_lanes, vector_by, vector_shift
        strips, layout = (strips_count, strips_by, strips_shift), (pitch, mask, shift, phase_pitch)
        lines, fill_rows = (begin, lines_pitch), (skipped, fill_count, fill_by, fill_shift)
        x_steps = x_plane, x_h, x_w

        # locate
        thread, tile = uint32(cuda.threadIdx.x), uint32(cuda.blockIdx.x)
        above, column = quotient_and_rest(tile, (across, across_by, across_shift))
        plane, row = quotient_and_rest(above, (down, down_by, down_shift))
        p, q = uint32(row * tile_p), uint32(column * tile_q)
        plane = uint32(plane * planes_of_tile)
        planes = min(planes_of_tile, uint32(planes_all - plane))
        n, c = quotient_and_rest(plane, (C, C_by, C_shift))
        h, w = uint32(p * stride_h + h_origin), uint32(q * stride_w + w_origin)
        w_load = uint32(w - lead)
        x_place = int64(n) * x_n + int64(c) * x_c + int64(int32(h)) * x_h + int64(int32(w_load)) * x_w
        y_place = int64(n) * y_n + int64(c) * y_c + int64(p) * y_p + int64(q) * y_q

        # load
        if WIDTH > 1 or load == uint32(VECTOR):
            fill_vectors(
                base, thread, x, x_place, x_steps, h, w_load, H, W, planes, rows, fill_rows, accesses, layout
            )  # fmt: skip
        elif VECTOR > 2 and load == uint32(2):
            fill_pairs(
                base, thread, x, x_place, x_steps, h, w_load, H, W, planes, rows, fill_rows, accesses, layout
            )  # fmt: skip
        else:
            fill_elements(
                base, thread, x, x_place, x_steps, h, w_load, H, W, planes, rows, fill_rows, accesses, layout
            )  # fmt: skip
        cuda.syncthreads()

        # accumulate
        reduce_rows(
            chained_q, base, thread, h, H, planes, rows, groups, layout, step, lead, S, dilation_w, lines,
            scalar(nothing),
        )  # fmt: skip
        cuda.syncthreads()

        # accumulate and store
        steps, stride = (y_plane, y_p, y_q), (stride_h, stride_w)
        divisor = rows_from, rows_to, columns_from, columns_to, counted, divisor_override
        reduce_columns(
            chained_p, base, thread, y, y_place, steps, uint32(P - p), uint32(Q - q), planes, strips, vectors,
            rows, lines, R, S, stride, dilation_h, h, w, divisor, scalar(nothing),
        )  # fmt: skip

    pointers = types.CPointer(scalar), types.CPointer(scalar)
    arguments = (*pointers, *[int64] * 4, *[int32] * 6, *[uint32] * 57, *[int32] * 6)
    name = f"pool_separable {dtype} {op} {'wide' if wide else 'narrow'}"
    return Kernel(name, pool_separable, arguments, THREADS, BLOCKS_PER_SM[dtype])


_KERNELS = {
    (dtype, op, wide): make_kernel(dtype, op, wide)
    for dtype, op, wide in itertools.product(SCALARS, ("max", "avg"), (True, False))
}
KERNELS = tuple(_KERNELS.values())


def unsupported(spec: PoolSpec) -> str | None:
    if spec.dtype not in SCALARS:
        return f"it is written for {' and '.join(SCALARS)}, not {spec.dtype}"
    if spec.return_indices:
        return "it gives no indices"
    if _longest_side(spec) >= 2**30:
        return "the image with its padding has a side of 2^30 or more"
    tile = tile_for(spec, 1, 1, False)
    if tile is None:
        return "the window is too large for a block's shared memory"
    if tile.blocks(spec) * tile.planes >= LIMIT - 64:
        return "there are 2^31 tiles of planes, or more"
    return None


def _longest_side(spec: PoolSpec) -> int:
    """Of the image with its padding, or what its windows cover with those that only fill up a tile."""
    axes = zip(
        (spec.H, spec.W),
        spec.pads,
        (spec.P, spec.Q),
        (spec.R, spec.S),
        spec.stride,
        spec.dilation,
        strict=True,
    )
    return max(
        max(size + sum(pads), (count + WIDEST) * stride + taps * dilation)
        for size, pads, count, taps, stride, dilation in axes
    )


def worth(spec: PoolSpec) -> bool:
    # Predicted by `profiling.model`, not measured, in us on an H200, here : pool_direct, float32 maxima:
    # 32 x 256 x 14 x 14 with 5x5 9.6 : 63, 13x13 12.5 : 288; 64 x 112 x 112 with 5x5 4.1 : 36; 32 x 64 x 112
    # x 112 with 3x3 / 3 29 : 55, 5x5 / 2 54 : 268; 2048 x 2048 with 31x31 22 : 6169. On an L4 the first and
    # the last 50 : 130 and 127 : 13683. Windows of one tap have nothing to share.
    return spec.R * spec.S > 1


@functools.lru_cache(maxsize=1024)
def plan(
    spec: PoolSpec, x_strides: tuple[int, ...], y_strides: tuple[int, ...], offsets: tuple[int, int] = (0, 0)
) -> Launch | None:
    """The launch for a problem, the byte strides of its arrays, and their addresses modulo 16.

    None where rows or columns lie 2^31 elements or more apart: what is in a tile is counted in 32 bits.
    """
    steps = [step // spec.itemsize for step in (*x_strides, *y_strides)]
    if any(_is_far(step) for step in (*steps[2:4], *steps[6:])):
        return None
    vector = VECTOR_BYTES // spec.itemsize
    load = _widest(x_strides, spec.W, spec.itemsize, offsets[0])
    wide = load == vector == _widest(y_strides, spec.Q, spec.itemsize, offsets[1])
    together = not (_is_far(steps[1]) or _is_far(steps[5]))
    together &= spec.N == 1 or (steps[0] == spec.C * steps[1] and steps[4] == spec.C * steps[5])
    tile = tile_for(spec, load, vector if wide else 1, together)
    if tile is None:  # vectors may need a little more
        load, wide = 1, False
        tile = tile_for(spec, 1, 1, together)
        assert tile is not None, "`unsupported` has found one"
    return Launch(
        _KERNELS[spec.dtype, spec.op, wide], tile.blocks(spec), tile.shared_bytes,
        (*_geometry(spec, tile, steps), *_layout(spec, tile, load), *divisors(spec)),
    )  # fmt: skip


def _geometry(spec: PoolSpec, tile: Tile, steps: list[int]) -> tuple[int, ...]:
    """Strides in elements, the problem, and where a block finds its tile."""
    (top, _), (left, _) = spec.pads
    apart = (steps[1], steps[5]) if tile.planes > 1 else (0, 0)
    across, down = -(-spec.Q // tile.tile_q), -(-spec.P // tile.tile_p)
    return (
        *steps[:2], *steps[4:6], apart[0], *steps[2:4], apart[1], *steps[6:],
        spec.C, *reciprocal(spec.C), spec.H, spec.W, spec.P, spec.Q, spec.R, spec.S, *spec.stride,
        *spec.dilation, -top, -left, spec.N * spec.C, tile.planes, tile.tile_p, tile.tile_q,
        across, *reciprocal(across), down, *reciprocal(down),
    )  # fmt: skip


def _layout(spec: PoolSpec, tile: Tile, load: int) -> tuple[int, ...]:
    """What each step has to do, `load` elements to an access, and how the tile lies in shared memory."""
    top, is_whole = spec.pads[0][0], tile.tile_p >= spec.P
    skipped = top if is_whole else 0  # rows of padding
    fill_rows = max(0, min(spec.H, tile.rows - top)) if is_whole else tile.rows
    accesses, strips = tile.columns // load, -(-min(tile.tile_p, spec.P) // COUNT)
    chained = [is_chained(*axis) for axis in zip((spec.R, spec.S), spec.stride, spec.dilation, strict=True)]
    return (
        tile.rows, *reciprocal(tile.rows), skipped, fill_rows, *reciprocal(fill_rows),
        accesses, *reciprocal(accesses), tile.groups, tile.group_lanes, *reciprocal(tile.group_lanes),
        tile.vectors, tile.vector_lanes, *reciprocal(tile.vector_lanes), strips, *reciprocal(strips),
        *map(int, chained), load, tile.pitch, spec.stride[1] // tile.phases, tile.lead,
        tile.phases - 1, tile.phases.bit_length() - 1, tile.phase_pitch, tile.lines, tile.lines_pitch,
    )  # fmt: skip


def _is_far(step: int) -> bool:
    return not -(2**31) <= step < 2**31


def _widest(strides: tuple[int, ...], columns: int, itemsize: int, pointer: int) -> int:
    """Elements of the widest accesses that rows of so many columns divide into, all aligned."""
    parts = (*strides[:3], columns * itemsize, pointer)
    widths = (VECTOR_BYTES // itemsize, 2) if strides[3] == itemsize else ()
    return next((width for width in widths if not any(part % (width * itemsize) for part in parts)), 1)


def run(spec: PoolSpec, x: DeviceArray, y: DeviceArray, indices: DeviceArray | None) -> Launch:
    offsets = x.pointer % VECTOR_BYTES, y.pointer % VECTOR_BYTES
    launch = plan(spec, x.strides, y.strides, offsets)
    return pool_direct.run(spec, x, y, indices) if launch is None else launch.start(y, x, y)


ALGORITHM = Algorithm("pool_separable", unsupported, worth, run, fast_for="windows of any size")
