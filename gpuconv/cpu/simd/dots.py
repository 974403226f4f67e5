"""A tile of scalar products, for CPU kernels: as LLVM IR.

    c[i, j] = (bias[i], or what it was) + sum over d of a[i, d] * b[j, d]

Both factors have the index that is summed side by side, so its elements are lanes: of each row of a and of b
a vector at a time is read where it lies. rows x columns vectors of sums stay in registers, as many as of
`tile_product`, and the lanes of each are added up when d ends.
"""

from functools import partial

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from gpuconv.cpu.simd.target import INDEX, TILE
from gpuconv.cpu.simd.vectors import (
    BIT,
    emit_by_rows,
    emit_call,
    emit_call_noinline,
    emit_fma,
    emit_load_between,
    emit_loop,
    emit_place,
)


def emit_dots(builder, depth, a, a_row, b, b_row, c, c_row, bias, fresh, *, tile, rows, columns):
    """c[i c_row + j] = (bias[i] if fresh else it) + sum over k < depth of a[i a_row + k] b[j b_row + k]."""
    vector = ir.VectorType(a.type.pointee, tile.lanes(a.type.pointee))
    sums = [[cgutils.alloca_once(builder, vector) for _ in range(columns)] for _ in range(rows)]
    for place in (place for line in sums for place in line):
        builder.store(ir.Constant(vector, [0.0] * vector.count), place)
    a_rows, b_rows = (
        [builder.gep(start, [builder.mul(step, ir.Constant(INDEX, i))]) for i in range(count)]
        for start, step, count in ((a, a_row, rows), (b, b_row, columns))
    )
    lanes = ir.Constant(INDEX, vector.count)
    with emit_loop(builder, builder.sdiv(depth, lanes)) as step:
        at = builder.mul(step, lanes)
        read = partial(_read, builder, vector, at)
        _add_products(builder, tile, sums, a_rows, b_rows, read)
    rest = builder.srem(depth, lanes)
    with builder.if_then(builder.icmp_signed(">", rest, ir.Constant(INDEX, 0))):
        read = partial(_read_part, builder, vector, builder.sub(depth, rest), rest)
        _add_products(builder, tile, sums, a_rows, b_rows, read)
    _store(builder, sums, c, c_row, bias, fresh)


def _read(builder, vector, at, row):
    return builder.load(emit_place(builder, row, at, vector), align=1)


def _read_part(builder, vector, at, count, row):
    return emit_load_between(builder, row, at, ir.Constant(INDEX, 0), count, vector)


def _add_products(builder, tile, sums, a_rows, b_rows, read):
    of_b = [read(row) for row in b_rows]
    for line, row in zip(sums, a_rows, strict=True):
        of_a = read(row)
        for place, value in zip(line, of_b, strict=True):
            builder.store(emit_fma(builder, of_a, value, builder.load(place), tile.fused), place)


def _store(builder, sums, c, c_row, bias, fresh):
    """The lanes of each sum, added up in the order that takes the fewest steps, which is always the same."""
    for i, line in enumerate(sums):
        row = builder.gep(c, [builder.mul(c_row, ir.Constant(INDEX, i))])
        start = builder.load(builder.gep(bias, [ir.Constant(INDEX, i)]), align=1)
        for j, place in enumerate(line):
            lanes, where = builder.load(place), builder.gep(row, [ir.Constant(INDEX, j)])
            none = ir.Constant(start.type, -0.0)
            total = emit_call(builder, "vector.reduce.fadd", start.type, none, lanes, flags=("reassoc",))
            before = builder.select(fresh, start, builder.load(where, align=1))
            builder.store(builder.fadd(before, total), where, align=1)


@intrinsic
def dot_products(typingctx, rows, columns, depth, a, a_row, b, b_row, c, c_row, bias, fresh):
    """c[i, j] = (bias[i] if fresh else c[i, j]) + sum over k < depth of a[i, k] * b[j, k].

    For i < rows <= ROWS and j < columns <= VECTORS. a, b, c and bias are pointers; rows of a, b and c lie
    a_row, b_row and c_row apart. Nothing else is read or written.
    """
    n = types.int64
    arguments = n, n, n, a, n, b, n, c, n, bias, types.boolean

    def emit(context, builder, sig, args):
        rows, columns, depth, a, a_row, b, b_row, c, c_row, bias, fresh = args
        fresh = builder.trunc(fresh, BIT)

        def piece(i, size):
            a_i, c_i = builder.gep(a, [builder.mul(i, a_row)]), builder.gep(c, [builder.mul(i, c_row)])
            values = depth, a_i, a_row, b, b_row, c_i, c_row, builder.gep(bias, [i]), fresh
            for count in range(1, TILE.vectors + 1):
                with builder.if_then(builder.icmp_signed("==", columns, ir.Constant(INDEX, count))):
                    emit_tile = partial(emit_dots, tile=TILE, rows=size, columns=count)
                    emit_call_noinline(builder, f"dots.{size}.{count}", emit_tile, values)

        emit_by_rows(builder, rows, TILE, piece)
        return context.get_dummy_value()

    return types.void(*arguments), emit
