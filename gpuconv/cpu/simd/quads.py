"""A tile of a matrix product of bytes, four at a time: a lane holds four bytes, a quad, and sums in int32.

    c[i, j] = (start[i], or what it was) + sum over k of a[i, k] . b[k, j]        of quads, modulo 2^32

                    column j                                a vector of quads
    row 4k      x  | x0 x1 x2 ..                 byte 0    | x0 | x1 | ..
    row 4k + 1  y  | y0 y1 y2 ..    interleave   byte 1    | y0 | y1 | ..   . the quad a[i, k] in every lane:
    row 4k + 2  z  | z0 z1 z2 ..    --------->   byte 2    | z0 | z1 | ..   vpdpbusd adds four products to
    row 4k + 3  t  | t0 t1 t2 ..                 byte 3    | t0 | t1 | ..   each lane, and never saturates

The instruction multiplies bytes without a sign by bytes with one; which of a and b has the sign is said. For
processors with AVX512-VNNI alone (`target.QUADS`); c stays in registers, as in `product`.
"""

from functools import partial
from itertools import chain

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from gpuconv.cpu.simd.target import INDEX, LANE, QUADS, TILE
from gpuconv.cpu.simd.vectors import (
    BIT,
    emit_by_rows,
    emit_call,
    emit_call_noinline,
    emit_loop,
    emit_place,
    emit_splat,
)

BYTE, HALF = ir.IntType(8), ir.IntType(16)
WIDTH = TILE.bits // 8  # bytes of a vector


def emit_dots(builder, sums, unsigned, signed):
    """sums + the four products in each lane."""
    vector = sums.type
    name = f"llvm.x86.avx512.vpdpbusd.{32 * vector.count}"
    kind = ir.FunctionType(vector, [vector] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [sums, unsigned, signed])


def emit_sums(builder, tile, rows, vectors, quads, a, a_row, b, b_step, a_signed):
    """rows x vectors sums, in registers: over k < quads, of the products of a[i, k] and b[k, j]."""
    vector = ir.VectorType(LANE, tile.lanes(LANE))
    sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
    for slot in chain(*sums):
        builder.store(ir.Constant(vector, [0] * vector.count), slot)
    a_rows = [builder.gep(a, [builder.mul(a_row, ir.Constant(INDEX, i))]) for i in range(rows)]
    with emit_loop(builder, quads) as k:
        b_k, a_k = builder.gep(b, [builder.mul(k, b_step)]), builder.mul(k, ir.Constant(INDEX, 4))
        columns = (ir.Constant(INDEX, j * vector.count) for j in range(vectors))
        row = [builder.load(emit_place(builder, b_k, at, vector), align=1) for at in columns]
        for i in range(rows):
            quad = builder.load(builder.bitcast(builder.gep(a_rows[i], [a_k]), LANE.as_pointer()), align=1)
            weight = emit_splat(builder, quad, vector.count)
            for slot, values in zip(sums[i], row, strict=True):
                pair = (values, weight) if a_signed else (weight, values)
                builder.store(emit_dots(builder, builder.load(slot), *pair), slot)
    return [[builder.load(slot) for slot in line] for line in sums]


def emit_tile(builder, quads, a, a_row, b, b_step, c, c_row, start, fresh, tile, rows, vectors, a_signed):
    """c[i c_row + j] = (start[i] if fresh else c[i c_row + j]) + the sums."""
    sums = emit_sums(builder, tile, rows, vectors, quads, a, a_row, b, b_step, a_signed)
    vector = sums[0][0].type
    for i, line in enumerate(sums):
        c_i = builder.gep(c, [builder.mul(c_row, ir.Constant(INDEX, i))])
        columns = (ir.Constant(INDEX, j * vector.count) for j in range(vectors))
        places = [emit_place(builder, c_i, at, vector) for at in columns]
        with builder.if_else(fresh) as (begin, go_on):
            with begin:
                first = builder.load(builder.gep(start, [ir.Constant(INDEX, i)]), align=1)
                first = emit_splat(builder, first, vector.count)
                for place, value in zip(places, line, strict=True):
                    builder.store(builder.add(first, value), place, align=1)
            with go_on:
                for place, value in zip(places, line, strict=True):
                    builder.store(builder.add(builder.load(place, align=1), value), place, align=1)


def emit_tiles(builder, tile, rows, columns, quads, a, a_row, b, b_step, c, c_row, start, fresh, a_signed):
    """Tiles of ROWS, 4, 2 and 1 rows until there are `rows`; none with more vectors than `columns` needs."""
    lanes = tile.lanes(LANE)

    def piece(i, size):
        a_i, c_i = builder.gep(a, [builder.mul(i, a_row)]), builder.gep(c, [builder.mul(i, c_row)])
        arguments = quads, a_i, a_row, b, b_step, c_i, c_row, builder.gep(start, [i]), fresh
        for vectors in range(1, tile.vectors + 1):
            enough = builder.icmp_signed("<=", columns, ir.Constant(INDEX, vectors * lanes))
            more = builder.icmp_signed(">", columns, ir.Constant(INDEX, (vectors - 1) * lanes))
            with builder.if_then(builder.and_(enough, more)), builder.if_else(a_signed) as paths:
                for path, sign in zip(paths, (True, False), strict=True):
                    with path:
                        emit = partial(emit_tile, tile=tile, rows=size, vectors=vectors, a_signed=sign)
                        name = f"quads.{size}.{vectors}.{'signed' if sign else 'unsigned'}"
                        emit_call_noinline(builder, name, emit, arguments)

    emit_by_rows(builder, rows, tile, piece)


@intrinsic
def quad_product(
    typingctx, rows, columns, quads, a, a_row, b, b_step, c, c_row, start, fresh, a_signed
):  # fmt: skip
    """c[i, j] = (start[i] if fresh else c[i, j]) + sum over k < quads of the products of a[i, k] and b[k, j].

    a is a pointer to bytes, whose rows lie a_row bytes apart; b, c and start are pointers to int32, whose
    rows lie b_step and c_row apart. The bytes of a have a sign, or else those of b. Columns are read and
    written in whole vectors.
    """
    if not QUADS:
        raise NotImplementedError("this processor does not multiply bytes four at a time")
    sizes, bits = types.int64, (types.boolean, types.boolean)
    arguments = sizes, sizes, sizes, a, sizes, b, sizes, c, sizes, start, *bits

    def emit(context, builder, sig, args):
        *product, fresh, a_signed = args
        emit_tiles(builder, TILE, *product, builder.trunc(fresh, BIT), builder.trunc(a_signed, BIT))
        return context.get_dummy_value()

    return types.void(*arguments), emit


@intrinsic
def bytes_of(typingctx, place):
    """The pointer to the bytes of int32 elements."""

    def emit(context, builder, sig, args):
        return builder.bitcast(args[0], BYTE.as_pointer())

    return types.CPointer(types.uint8)(place), emit


@intrinsic
def interleave(typingctx, rows, row, count, place, at, flipped):
    """A vector of quads at place[at]: byte i of quad j is rows[i row + j].

    Where there are fewer than four rows, those behind are as the last. The bits of `flipped`
    are turned over.
    """

    def emit(context, builder, sig, args):
        rows, row, count, place, at, flipped = args
        lanes = TILE.lanes(LANE)
        narrow, vector = ir.VectorType(BYTE, lanes), ir.VectorType(LANE, lanes)
        quads = emit_splat(builder, flipped, lanes)
        last = builder.sub(count, ir.Constant(INDEX, 1))
        for i in range(4):
            number = ir.Constant(INDEX, i)
            number = builder.select(builder.icmp_signed("<", number, last), number, last)
            source = builder.load(emit_place(builder, rows, builder.mul(number, row), narrow), align=1)
            moved = builder.shl(builder.zext(source, vector), ir.Constant(vector, [8 * i] * lanes))
            quads = builder.xor(quads, moved)
        builder.store(quads, emit_place(builder, place, at, vector), align=1)
        return context.get_dummy_value()

    number = types.int64
    return types.void(rows, number, number, place, number, types.int32), emit


@intrinsic
def bits_between(typingctx, begin, end):
    """A word whose bits begin <= i < end are set, for numbers of any size."""

    def emit(context, builder, sig, args):
        zero, one, most = (ir.Constant(INDEX, number) for number in (0, 1, INDEX.width))

        def first(count):
            some = builder.sub(builder.shl(one, count), one)
            some = builder.select(builder.icmp_signed("<", count, most), some, ir.Constant(INDEX, -1))
            return builder.select(builder.icmp_signed(">", count, zero), some, zero)

        begin, end = args
        return builder.and_(first(end), builder.not_(first(begin)))

    return types.int64(types.int64, types.int64), emit


def emit_mask(builder, bits, lanes):
    if lanes < INDEX.width:
        bits = builder.trunc(bits, ir.IntType(lanes))
    return builder.bitcast(bits, ir.VectorType(BIT, lanes))


def _copy(step):
    """An intrinsic that copies every first or every second byte, those that the bits of words say."""

    @intrinsic
    def function(typingctx, source, at, read, place, to, written):
        number = types.int64

        def emit(context, builder, sig, args):
            source, at, read, place, to, written = args
            vector = ir.VectorType(BYTE, WIDTH)
            align, none = ir.Constant(LANE, 1), ir.Constant(vector, [0] * WIDTH)
            where, mask = emit_place(builder, source, at, vector), emit_mask(builder, read, WIDTH)
            values = emit_call(builder, "masked.load", vector, where, align, mask, none)
            if step == 2:
                pairs = builder.bitcast(values, ir.VectorType(HALF, WIDTH // 2))
                values = builder.trunc(pairs, ir.VectorType(BYTE, WIDTH // 2))
            where, mask = (
                emit_place(builder, place, to, values.type),
                emit_mask(builder, written, WIDTH // step),
            )
            emit_call(builder, "masked.store", ir.VoidType(), values, where, align, mask)
            return context.get_dummy_value()

        return types.void(source, number, number, place, number, number), emit

    return function


# copy(source, at, read, place, to, written): place[to + i] = source[at + i step] where bit i of `written` is
# set, or 0, and nothing is read, where bit i step of `read` is not; a vector is of WIDTH bytes
copy_bytes, copy_even_bytes = _copy(1), _copy(2)
