"""A tile of a matrix product, summed in registers.

    c[i, j] = (bias[i], or what it was) + sum over k of a[i, k] * b[k, j]

For each k, one element of each row of a is spread over a vector and multiplied with the vectors of row k of
b: rows x vectors accumulators, which stay in registers until k ends. b is read in whole vectors that need not
be aligned; a is read element by element where it lies, so neither needs a copy. A tile of fewer rows is cut
into tiles of 4, 2 and 1.
"""

from functools import partial

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from gpuconv.cpu.simd.finish import Finish, emit_finish
from gpuconv.cpu.simd.target import INDEX, TILE
from gpuconv.cpu.simd.vectors import (
    BIT,
    emit_by_rows,
    emit_call_noinline,
    emit_fma,
    emit_loop,
    emit_place,
    emit_splat,
)


def emit_product(builder, tile, rows, vectors, depth, a, a_row, b, b_step):
    """rows x vectors sums, in registers: sum over k < depth of a[i a_row + k] * b[k b_step + j]."""
    element = a.type.pointee
    lanes = tile.lanes(element)
    vector = ir.VectorType(element, lanes)
    zero = ir.Constant(vector, [0.0] * lanes)
    sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
    for i in range(rows):
        for j in range(vectors):
            builder.store(zero, sums[i][j])
    a_rows = [builder.gep(a, [builder.mul(a_row, ir.Constant(INDEX, i))]) for i in range(rows)]
    with emit_loop(builder, depth) as k:
        b_row = builder.mul(k, b_step)
        places = (builder.add(b_row, ir.Constant(INDEX, j * lanes)) for j in range(vectors))
        row = [builder.load(emit_place(builder, b, at, vector), align=1) for at in places]
        for i in range(rows):
            weight = emit_splat(builder, builder.load(builder.gep(a_rows[i], [k]), align=1), lanes)
            for j in range(vectors):
                added = emit_fma(builder, weight, row[j], builder.load(sums[i][j]), tile.fused)
                builder.store(added, sums[i][j])
    return [[builder.load(value) for value in line] for line in sums]


def emit_tile(builder, depth, a, a_row, b, b_step, c, c_row, bias, fresh, *finish, tile, rows, vectors):
    """c[i c_row + j] = (bias[i] if fresh else c[i c_row + j]) + the product's sums, and that finished."""
    sums = emit_product(builder, tile, rows, vectors, depth, a, a_row, b, b_step)
    vector = sums[0][0].type
    rows_of_c = [builder.gep(c, [builder.mul(c_row, ir.Constant(INDEX, i))]) for i in range(rows)]
    columns = [ir.Constant(INDEX, j * vector.count) for j in range(vectors)]
    all_places = [[emit_place(builder, row, at, vector) for at in columns] for row in rows_of_c]
    if not finish:
        emit_store(builder, sums, all_places, bias, fresh)
        return
    finish = Finish(*finish)
    with builder.if_else(builder.icmp_signed("==", finish.mode, ir.Constant(INDEX, 0))) as (plain, finishing):
        with plain:
            emit_store(builder, sums, all_places, bias, fresh)
        with finishing:
            emit_store(builder, sums, all_places, bias, fresh, finish)


def emit_store(builder, sums, all_places, bias, fresh, finish=None):
    """Store the sums, added to the bias or to what is there; finished, if that is asked for."""
    vector = sums[0][0].type
    for i, (places, values) in enumerate(zip(all_places, sums, strict=True)):
        to = [cgutils.alloca_once(builder, vector) for _ in places] if finish else places
        with builder.if_else(fresh) as (begin, go_on):
            with begin:
                start = builder.load(builder.gep(bias, [ir.Constant(INDEX, i)]), align=1)
                start = emit_splat(builder, start, vector.count)
                for place, value in zip(to, values, strict=True):
                    builder.store(builder.fadd(start, value), place, align=1)
            with go_on:
                for at, place, value in zip(places, to, values, strict=True):
                    builder.store(builder.fadd(builder.load(at, align=1), value), place, align=1)
        if finish:
            emit_finish(builder, to, places, finish)
            for slot, place in zip(to, places, strict=True):
                builder.store(builder.load(slot), place, align=1)


def emit_sum(builder, depth, a, a_row, b, b_step, c, c_row, start, start_row, tile, rows, vectors):
    """c[i c_row + j] = start[i start_row + j] + the product's sums."""
    sums = emit_product(builder, tile, rows, vectors, depth, a, a_row, b, b_step)
    vector = sums[0][0].type
    for i, values in enumerate(sums):
        to, begin = (
            builder.gep(base, [builder.mul(step, ir.Constant(INDEX, i))])
            for base, step in ((c, c_row), (start, start_row))
        )
        for j, value in enumerate(values):
            at = ir.Constant(INDEX, j * vector.count)
            added = builder.load(emit_place(builder, begin, at, vector), align=1)
            builder.store(builder.fadd(added, value), emit_place(builder, to, at, vector), align=1)


def emit_pieces(builder, tile, rows, columns, lanes, name, emit, arguments):
    """Tiles of ROWS, 4, 2 and 1 rows until there are `rows`; none with more vectors than `columns` needs.

    `arguments(i)` are those of a tile that begins with row i.
    """

    def piece(i, size):
        for vectors in range(1, tile.vectors + 1):
            enough = builder.icmp_signed("<=", columns, ir.Constant(INDEX, vectors * lanes))
            more = builder.icmp_signed(">", columns, ir.Constant(INDEX, (vectors - 1) * lanes))
            with builder.if_then(builder.and_(enough, more)):
                emit_one = partial(emit, tile=tile, rows=size, vectors=vectors)
                emit_call_noinline(builder, f"{name}.{size}.{vectors}", emit_one, arguments(i))

    emit_by_rows(builder, rows, tile, piece)


def emit_tiles(builder, tile, rows, columns, depth, a, a_row, b, b_step, c, c_row, bias, fresh, *finish):
    """The tiles whose rows begin with an element of the bias each."""

    def arguments(i):
        a_i, c_i = builder.gep(a, [builder.mul(i, a_row)]), builder.gep(c, [builder.mul(i, c_row)])
        return depth, a_i, a_row, b, b_step, c_i, c_row, builder.gep(bias, [i]), fresh, *finish

    lanes, name = tile.lanes(a.type.pointee), "finished.tile" if finish else "tile"
    emit_pieces(builder, tile, rows, columns, lanes, name, emit_tile, arguments)


@intrinsic
def tile_product(typingctx, rows, columns, depth, a, a_row, b, b_step, c, c_row, bias, fresh):
    """c[i, j] = (bias[i] if fresh else c[i, j]) + sum over k < depth of a[i, k] * b[k, j].

    For i < rows <= ROWS and j < columns <= VECTORS * LANES. a, b, c and bias are pointers; rows of a, b and c
    lie a_row, b_step and c_row apart. Columns are read and written in whole vectors.
    """
    sizes = types.int64
    arguments = sizes, sizes, sizes, a, sizes, b, sizes, c, sizes, bias, types.boolean

    def emit(context, builder, sig, args):
        rows, columns, depth, a, a_row, b, b_step, c, c_row, bias, fresh = args
        fresh = builder.trunc(fresh, BIT)
        emit_tiles(builder, TILE, rows, columns, depth, a, a_row, b, b_step, c, c_row, bias, fresh)
        return context.get_dummy_value()

    return types.void(*arguments), emit


@intrinsic
def tile_sum(typingctx, rows, columns, depth, a, a_row, b, b_step, c, c_row, start, start_row):
    """c[i, j] = start[i, j] + sum over k < depth of a[i, k] * b[k, j]; start may be c, or one row for all.

    As `tile_product` else; rows of start lie start_row apart, and are read in whole vectors.
    """
    sizes = types.int64
    arguments = sizes, sizes, sizes, a, sizes, b, sizes, c, sizes, start, sizes

    def emit(context, builder, sig, args):
        rows, columns, depth, a, a_row, b, b_step, c, c_row, start, start_row = args

        def of_row(i):
            places = ((a, a_row), (c, c_row), (start, start_row))
            a_i, c_i, start_i = (builder.gep(base, [builder.mul(i, step)]) for base, step in places)
            return depth, a_i, a_row, b, b_step, c_i, c_row, start_i, start_row

        emit_pieces(builder, TILE, rows, columns, TILE.lanes(a.type.pointee), "sum", emit_sum, of_row)
        return context.get_dummy_value()

    return types.void(*arguments), emit


@intrinsic
def finished_product(typingctx, rows, columns, depth, a, a_row, b, b_step, c, c_row, bias, fresh, finish):
    """The same; before the sums are stored, what the mode of `finish`, a `Finish`, says is done to them."""
    sizes = types.int64
    arguments = sizes, sizes, sizes, a, sizes, b, sizes, c, sizes, bias, types.boolean, finish

    def emit(context, builder, sig, args):
        *product, fresh, finish = args
        values = cgutils.unpack_tuple(builder, finish)
        emit_tiles(builder, TILE, *product, builder.trunc(fresh, BIT), *values)
        return context.get_dummy_value()

    return types.void(*arguments), emit
