"""The kernels of `pool_separable`: a tile is loaded, its rows are reduced, then its columns."""

import functools
import itertools
from collections.abc import Callable

from gpuconv.cuda.device.division import quotient_and_rest
from gpuconv.cuda.device.elements import ELEMENTS
from gpuconv.cuda.device.limits import VECTOR_BYTES
from gpuconv.cuda.device.reduction import REDUCTIONS
from gpuconv.cuda.language import cuda, int32, int64, types, uint32
from gpuconv.cuda.pool.separable.load import make_fill
from gpuconv.cuda.pool.separable.passes import make_column_pass, make_row_pass
from gpuconv.cuda.pool.separable.store import make_window_storer
from gpuconv.cuda.pool.separable.tiles import THREADS
from gpuconv.cuda.ptx.copies import shared_address
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.spec.dtypes import FLOAT32, FLOAT64

BLOCKS_PER_SM: dict[str, int] = {FLOAT32: 4, FLOAT64: 3}


def make_function(dtype: str, reduction: str, wide: bool) -> Callable[..., None]:
    """Maxima, or means; a maximum takes no notice of the last six arguments."""
    element = ELEMENTS[dtype]
    scalar = element.scalar
    combine, identity = REDUCTIONS[reduction].combine, REDUCTIONS[reduction].identity
    VECTOR = VECTOR_BYTES * 8 // scalar.bitwidth
    WIDTH = VECTOR if wide else 1
    fill_vectors, fill_pairs, fill_elements = (
        make_fill(element, width, identity) for width in (VECTOR, 2, 1)
    )
    reduce_rows = make_row_pass(scalar, combine)
    reduce_columns = make_column_pass(scalar, combine, make_window_storer(element, WIDTH, reduction), WIDTH)

    def pool_separable(
        x, y, x_n, x_c, y_n, y_c, x_plane, x_h, x_w, y_plane, y_p, y_q,  # strides in elements
        C, C_multiplier, C_shift, H, W, P, Q, R, S, stride_h, stride_w, dilation_h, dilation_w,
        h_origin, w_origin, planes_all, planes_of_tile, tile_p, tile_q,
        tiles_across, tiles_across_multiplier, tiles_across_shift,
        tiles_down, tiles_down_multiplier, tiles_down_shift,
        rows, rows_multiplier, rows_shift, skipped, fill_rows, fill_rows_multiplier, fill_rows_shift,
        accesses, accesses_multiplier, accesses_shift,
        groups, group_lanes, group_lanes_multiplier, group_lanes_shift,
        vectors, vector_lanes, vector_lanes_multiplier, vector_lanes_shift,
        strips, strips_multiplier, strips_shift,
        chained_p, chained_q, load, pitch, step, lead, mask, shift, phase_pitch, lines, lines_pitch,
        rows_from, rows_to, columns_from, columns_to, counted, divisor_override,
    ):  # fmt: skip
        base = shared_address(cuda.shared.array(0, scalar, alignment=16), uint32(0))
        rows_of_tile = rows, rows_multiplier, rows_shift
        filled = skipped, (fill_rows, fill_rows_multiplier, fill_rows_shift)
        accesses_of_row = accesses, accesses_multiplier, accesses_shift
        x_steps, phases = (x_plane, x_h, x_w), (pitch, mask, shift, phase_pitch)

        # locate
        thread, tile = uint32(cuda.threadIdx.x), uint32(cuda.blockIdx.x)
        above, column = quotient_and_rest(tile, (tiles_across, tiles_across_multiplier, tiles_across_shift))
        plane, row = quotient_and_rest(above, (tiles_down, tiles_down_multiplier, tiles_down_shift))
        p, q = uint32(row * tile_p), uint32(column * tile_q)
        plane = uint32(plane * planes_of_tile)
        planes = min(planes_of_tile, uint32(planes_all - plane))
        n, c = quotient_and_rest(plane, (C, C_multiplier, C_shift))
        h, w = uint32(p * stride_h + h_origin), uint32(q * stride_w + w_origin)
        w_load = uint32(w - lead)
        x_place = int64(n) * x_n + int64(c) * x_c + int64(int32(h)) * x_h + int64(int32(w_load)) * x_w
        y_place = int64(n) * y_n + int64(c) * y_c + int64(p) * y_p + int64(q) * y_q

        # load
        if WIDTH > 1 or load == uint32(VECTOR):
            fill_vectors(
                base, thread, x, x_place, x_steps, h, w_load, H, W, planes, rows_of_tile, filled,
                accesses_of_row, phases,
            )  # fmt: skip
        elif VECTOR > 2 and load == uint32(2):
            fill_pairs(
                base, thread, x, x_place, x_steps, h, w_load, H, W, planes, rows_of_tile, filled,
                accesses_of_row, phases,
            )  # fmt: skip
        else:
            fill_elements(
                base, thread, x, x_place, x_steps, h, w_load, H, W, planes, rows_of_tile, filled,
                accesses_of_row, phases,
            )  # fmt: skip
        cuda.syncthreads()

        # accumulate
        reduce_rows(
            chained_q, base, thread, h, H, planes, rows_of_tile,
            (groups, (group_lanes, group_lanes_multiplier, group_lanes_shift)),
            phases, step, lead, S, dilation_w, (lines, lines_pitch), scalar(identity),
        )  # fmt: skip
        cuda.syncthreads()

        # accumulate and store
        reduce_columns(
            chained_p, base, thread, y, y_place, (y_plane, y_p, y_q), uint32(P - p), uint32(Q - q), planes,
            (strips, strips_multiplier, strips_shift),
            (vectors, (vector_lanes, vector_lanes_multiplier, vector_lanes_shift)),
            rows_of_tile, (lines, lines_pitch), R, S, (stride_h, stride_w), dilation_h, h, w,
            (rows_from, rows_to, columns_from, columns_to, counted, divisor_override), scalar(identity),
        )  # fmt: skip

    return pool_separable


def make_kernel(dtype: str, reduction: str, wide: bool) -> Kernel:
    """The kernel of a dtype and a reduction, that stores in vectors or not."""
    types_of = {
        types.CPointer(ELEMENTS[dtype].stored): "x y",
        int64: "x_n x_c y_n y_c",
        int32: "x_plane x_h x_w y_plane y_p y_q "
        "rows_from rows_to columns_from columns_to counted divisor_override",
    }
    name = f"pool_separable {dtype} {reduction} {'wide' if wide else 'narrow'}"
    make = functools.partial(make_function, dtype, reduction, wide)
    return Kernel(name, make, types_of, THREADS, BLOCKS_PER_SM[dtype])


KERNEL_OF = {key: make_kernel(*key) for key in itertools.product(BLOCKS_PER_SM, REDUCTIONS, (True, False))}
