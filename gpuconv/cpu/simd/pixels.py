"""Products summed over the pixels of a rectangle, for CPU kernels: as LLVM IR.

    pixel_product   c[i][j] += sum over n, p, q of a[rows[i] + n a_n + p a_p + q a_q] * (vector j of b there)
    pixel_dots      c[i]    += sum over p, q of a[rows[i] + p a_p + q] * b[p b_p + q], lane by lane

The sums stay in registers until the rectangle ends: in the first a number of a is spread over a vector, whose
lanes are other channels; in the second the lanes are pixels, and are to be added up. Where each row of a
begins, a table says, so that a row is a tap as well as a channel.
"""

from functools import partial

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from gpuconv.cpu.simd.target import INDEX, LANE, TILE
from gpuconv.cpu.simd.vectors import (
    emit_by_rows,
    emit_call,
    emit_call_noinline,
    emit_first_lanes,
    emit_fma,
    emit_loop,
    emit_place,
    emit_splat,
)


def _sums(builder, vector, rows, vectors):
    """rows x vectors sums, which are 0."""
    sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
    for place in (place for line in sums for place in line):
        builder.store(ir.Constant(vector, [0.0] * vector.count), place)
    return sums


def _starts(builder, a, offsets, rows):
    """Where the rows begin."""
    places = (builder.gep(offsets, [ir.Constant(INDEX, i)]) for i in range(rows))
    return [builder.gep(a, [builder.load(place)]) for place in places]


def _added(builder, place, value):
    builder.store(builder.fadd(builder.load(place, align=1), value), place, align=1)


def emit_pixels(
    builder, N, P, Q, a, offsets, a_n, a_p, a_q, b, b_vector, b_n, b_p, c, c_row, *, tile, rows, vectors
):  # fmt: skip
    """The sums of `rows` rows and `vectors` vectors."""
    vector = ir.VectorType(a.type.pointee, tile.lanes(a.type.pointee))
    lanes = ir.Constant(INDEX, vector.count)
    sums, starts = _sums(builder, vector, rows, vectors), _starts(builder, a, offsets, rows)
    columns = [builder.mul(b_vector, ir.Constant(INDEX, j)) for j in range(vectors)]
    with emit_loop(builder, N) as n, emit_loop(builder, P) as p:
        a_row = builder.add(builder.mul(n, a_n), builder.mul(p, a_p))
        b_row = builder.add(builder.mul(n, b_n), builder.mul(p, b_p))
        with emit_loop(builder, Q) as q:
            at = builder.add(a_row, builder.mul(q, a_q))
            pixel = builder.add(b_row, builder.mul(q, lanes))
            places = [builder.add(pixel, column) for column in columns]
            values = [builder.load(emit_place(builder, b, place, vector), align=1) for place in places]
            for start, line in zip(starts, sums, strict=True):
                factor = emit_splat(builder, builder.load(builder.gep(start, [at]), align=1), vector.count)
                for place, value in zip(line, values, strict=True):
                    builder.store(emit_fma(builder, factor, value, builder.load(place), tile.fused), place)
    for i, line in enumerate(sums):
        row = builder.mul(c_row, ir.Constant(INDEX, i))
        for j, place in enumerate(line):
            at = builder.add(row, ir.Constant(INDEX, j * vector.count))
            _added(builder, emit_place(builder, c, at, vector), builder.load(place))


def emit_dots(builder, P, Q, a, offsets, a_p, b, b_p, c, *, tile, rows):
    """The sums of `rows` rows; of what lies beside the rectangle nothing is read."""
    vector = ir.VectorType(a.type.pointee, tile.lanes(a.type.pointee))
    zero, one = ir.Constant(vector, [0.0] * vector.count), ir.Constant(LANE, 1)
    lanes = ir.Constant(INDEX, vector.count)
    sums, starts = _sums(builder, vector, rows, 1), _starts(builder, a, offsets, rows)
    whole = builder.sdiv(Q, lanes)
    begin = builder.mul(whole, lanes)
    rest = builder.sub(Q, begin)
    mask = emit_first_lanes(builder, rest, vector.count)

    def add(read, a_at, b_at):
        value = read(emit_place(builder, b, b_at, vector))
        for start, (place,) in zip(starts, sums, strict=True):
            factor = read(emit_place(builder, start, a_at, vector))
            builder.store(emit_fma(builder, factor, value, builder.load(place), tile.fused), place)

    with emit_loop(builder, P) as p:
        a_row, b_row = builder.mul(p, a_p), builder.mul(p, b_p)
        with emit_loop(builder, whole) as i:
            q = builder.mul(i, lanes)
            add(partial(builder.load, align=1), builder.add(a_row, q), builder.add(b_row, q))
        with builder.if_then(builder.icmp_signed(">", rest, ir.Constant(INDEX, 0))):
            add(
                lambda place: emit_call(builder, "masked.load", vector, place, one, mask, zero),
                builder.add(a_row, begin), builder.add(b_row, begin),
            )  # fmt: skip
    for i, (place,) in enumerate(sums):
        at = ir.Constant(INDEX, i * vector.count)
        _added(builder, emit_place(builder, c, at, vector), builder.load(place))


@intrinsic
def pixel_product(
    typingctx, rows, vectors, N, P, Q, a, offsets, a_n, a_p, a_q, b, b_vector, b_n, b_p, c, c_row
):  # fmt: skip
    """c[i c_row + j LANES + lane] += sum over n < N, p < P, q < Q of
    a[offsets[i] + n a_n + p a_p + q a_q] * b[j b_vector + n b_n + p b_p + q LANES + lane].

    For i < rows <= ROWS and j < vectors <= VECTORS. a, b and c are pointers to elements, offsets to int64.
    """
    n = types.int64
    arguments = n, n, n, n, n, a, offsets, n, n, n, b, n, n, n, c, n

    def emit(context, builder, sig, args):
        rows, vectors, N, P, Q, a, offsets, a_n, a_p, a_q, b, b_vector, b_n, b_p, c, c_row = args

        def piece(i, size):
            c_i, offsets_i = builder.gep(c, [builder.mul(i, c_row)]), builder.gep(offsets, [i])
            values = N, P, Q, a, offsets_i, a_n, a_p, a_q, b, b_vector, b_n, b_p, c_i, c_row
            for number in range(1, TILE.vectors + 1):
                with builder.if_then(builder.icmp_signed("==", vectors, ir.Constant(INDEX, number))):
                    body = partial(emit_pixels, tile=TILE, rows=size, vectors=number)
                    emit_call_noinline(builder, f"pixels.{size}.{number}", body, values)

        emit_by_rows(builder, rows, TILE, piece)
        return context.get_dummy_value()

    return types.void(*arguments), emit


@intrinsic
def pixel_dots(typingctx, rows, P, Q, a, offsets, a_p, b, b_p, c):
    """c[i LANES + lane] += sum over p < P and q < Q, every LANES-th from `lane` on, of
    a[offsets[i] + p a_p + q] * b[p b_p + q].

    For i < rows <= ROWS. a, b and c are pointers to elements, offsets to int64.
    """
    n = types.int64
    arguments = n, n, n, a, offsets, n, b, n, c

    def emit(context, builder, sig, args):
        rows, P, Q, a, offsets, a_p, b, b_p, c = args

        def piece(i, size):
            lanes = ir.Constant(INDEX, TILE.lanes(a.type.pointee))
            c_i = builder.gep(c, [builder.mul(i, lanes)])
            values = P, Q, a, builder.gep(offsets, [i]), a_p, b, b_p, c_i
            body = partial(emit_dots, tile=TILE, rows=size)
            emit_call_noinline(builder, f"dots.{size}", body, values)

        emit_by_rows(builder, rows, TILE, piece)
        return context.get_dummy_value()

    return types.void(*arguments), emit
