"""Lines of memory turned into lanes of vectors, and back, for CPU kernels: as LLVM IR.

    line 0    a0 a1 a2 a3 ..          vector 0    a0 b0 c0 d0
    line 1    b0 b1 b2 b3 ..   <->    vector 1    a1 b1 c1 d1
    line 2    c0 c1 c2 c3 ..          vector 2    a2 b2 c2 d2
    line 3    d0 d1 d2 d3 ..          ..

A line is what lies side by side in memory: a plane of an image, as a rule. A table of three numbers a lane
says where its line begins, and that its elements first <= e < last exist; nothing else is read or written. A
square of LANES x LANES elements is turned in registers, by log2(LANES) rounds of exchanges.
"""

from functools import partial

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from gpuconv.cpu.simd.target import INDEX, LANE, TILE
from gpuconv.cpu.simd.vectors import (
    BIT,
    emit_call,
    emit_call_noinline,
    emit_first_lanes,
    emit_load_between,
    emit_place,
    emit_shuffle,
    emit_store_lanes,
)

LINE = 3  # numbers of a line: see above


def emit_transposed(builder, square):
    """Lane i of vector j becomes lane j of vector i."""
    n = len(square)
    for step in (1 << bit for bit in range(n.bit_length() - 1)):
        for i in (i for i in range(n) if not i & step):
            a, b = square[i], square[i + step]
            square[i] = emit_shuffle(builder, a, b, [j + (n - step if j & step else 0) for j in range(n)])
            square[i + step] = emit_shuffle(builder, a, b, [j + (n if j & step else step) for j in range(n)])
    return square


def _line(builder, place, lines, lane, at):
    """Where element `at` of the lane's line lies, and between which lanes of its vector elements exist."""
    fields = (builder.gep(lines, [ir.Constant(INDEX, LINE * lane + i)]) for i in range(LINE))
    start, first, last = (builder.load(field) for field in fields)
    return builder.gep(place, [builder.add(start, at)]), builder.sub(first, at), builder.sub(last, at)


def emit_lines_to_lanes(tile, builder, place, lines, at, whole, to, places):
    vector = ir.VectorType(place.type.pointee, tile.lanes(place.type.pointee))
    zero, square = ir.Constant(INDEX, 0), [cgutils.alloca_once(builder, vector) for _ in range(vector.count)]
    with builder.if_else(whole) as branches:
        for every, branch in zip((True, False), branches, strict=True):
            with branch:
                for lane, value in enumerate(square):
                    where, first, last = _line(builder, place, lines, lane, at)
                    if every:
                        loaded = builder.load(emit_place(builder, where, zero, vector), align=1)
                    else:
                        loaded = emit_load_between(builder, where, zero, first, last, vector)
                    builder.store(loaded, value)
    values = emit_transposed(builder, [builder.load(value) for value in square])
    for e, value in enumerate(values):
        column = builder.load(builder.gep(places, [builder.add(at, ir.Constant(INDEX, e))]))
        builder.store(value, emit_place(builder, to, column, vector), align=1)


def emit_lanes_to_lines(tile, builder, source, at, whole, place, lines):
    vector = ir.VectorType(place.type.pointee, tile.lanes(place.type.pointee))
    zero, one = ir.Constant(INDEX, 0), ir.Constant(LANE, 1)
    begin = builder.mul(at, ir.Constant(INDEX, vector.count))
    columns = (builder.add(begin, ir.Constant(INDEX, e * vector.count)) for e in range(vector.count))
    places = (emit_place(builder, source, column, vector) for column in columns)
    values = emit_transposed(builder, [builder.load(where, align=1) for where in places])
    with builder.if_else(whole) as branches:
        for every, branch in zip((True, False), branches, strict=True):
            with branch:
                for lane, value in enumerate(values):
                    where, first, last = _line(builder, place, lines, lane, at)
                    where = emit_place(builder, where, zero, vector)
                    if every:
                        builder.store(value, where, align=1)
                        continue
                    before, until = (emit_first_lanes(builder, n, vector.count) for n in (first, last))
                    mask = builder.and_(until, builder.not_(before))
                    emit_call(builder, "masked.store", ir.VoidType(), value, where, one, mask)


@intrinsic
def lines_to_lanes(typingctx, place, lines, at, whole, to, places):
    """The vector at to[places[e]], for LANES elements e from `at` on: element e of each line, or zero.

    `place`, to which the beginnings of the lines are relative, and `to` are pointers to elements, `lines` and
    `places` to int64. `whole` says that all these elements of all lines exist, which is quicker.
    """
    arguments = place, lines, types.int64, types.boolean, to, places

    def emit(context, builder, sig, args):
        place, lines, at, whole, to, places = args
        arguments = place, lines, at, builder.trunc(whole, BIT), to, places
        emit_call_noinline(builder, "lines_to_lanes", partial(emit_lines_to_lanes, TILE), arguments)
        return context.get_dummy_value()

    return types.void(*arguments), emit


@intrinsic
def lanes_to_lines(typingctx, source, at, whole, place, lines):
    """Element e of each line = the vector at source[e LANES], for LANES elements e from `at` on.

    The arguments are as for `lines_to_lanes`. What does not exist is not written.
    """
    arguments = source, types.int64, types.boolean, place, lines

    def emit(context, builder, sig, args):
        source, at, whole, place, lines = args
        arguments = source, at, builder.trunc(whole, BIT), place, lines
        emit_call_noinline(builder, "lanes_to_lines", partial(emit_lanes_to_lines, TILE), arguments)
        return context.get_dummy_value()

    return types.void(*arguments), emit


def emit_turned(tile, builder, source, source_step, rows, to, to_step, columns):
    """A square of LANES x LANES, of which what there is not is neither read nor written."""
    vector = ir.VectorType(source.type.pointee, tile.lanes(source.type.pointee))
    number, zero = ir.Constant(INDEX, vector.count), ir.Constant(INDEX, 0)
    whole = builder.and_(*(builder.icmp_signed("==", count, number) for count in (rows, columns)))
    lines = [
        [builder.gep(place, [builder.mul(step, ir.Constant(INDEX, i))]) for i in range(vector.count)]
        for place, step in ((source, source_step), (to, to_step))
    ]
    with builder.if_else(whole) as (every, some):
        with every:
            square = [builder.load(emit_place(builder, line, zero, vector), align=1) for line in lines[0]]
            for line, value in zip(lines[1], emit_transposed(builder, square), strict=True):
                builder.store(value, emit_place(builder, line, zero, vector), align=1)
        with some:
            square = []
            for i, line in enumerate(lines[0]):
                is_there = builder.icmp_signed("<", ir.Constant(INDEX, i), rows)
                count = builder.select(is_there, columns, zero)
                square.append(emit_load_between(builder, line, zero, zero, count, vector))
            for j, value in enumerate(emit_transposed(builder, square)):
                is_there = builder.icmp_signed("<", ir.Constant(INDEX, j), columns)
                mask = emit_first_lanes(builder, builder.select(is_there, rows, zero), vector.count)
                where = emit_place(builder, lines[1][j], zero, vector)
                emit_store_lanes(builder, value, where, mask)


@intrinsic
def turn(typingctx, source, source_step, rows, to, to_step, columns):
    """to[j to_step + i] = source[i source_step + j] for i < rows <= LANES and j < columns <= LANES."""
    n = types.int64
    arguments = source, n, n, to, n, n

    def emit(context, builder, sig, args):
        emit_call_noinline(builder, "turn", partial(emit_turned, TILE), args)
        return context.get_dummy_value()

    return types.void(*arguments), emit
