"""A matrix product whose right factor lies scattered, for CPU kernels: as LLVM IR.

    c[k, v] = bias[k] + sum over d of a[k, d] * b[places[v] + offsets[d]]

for vectors v of outputs, VECTORS at a time, and rows k of a, ROWS at a time, in registers as in
`tile_product`. Where what the taps of a convolution see is a vector at a constant offset, this needs no copy
of it for each tap.
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
    emit_fma,
    emit_loop,
    emit_place,
    emit_splat,
)


def _field(builder, places, v, i):
    return builder.load(builder.gep(places, [ir.Constant(INDEX, 3 * v + i)]))


def emit_gathered_sums(builder, tile, rows, depth, a, a_row, b, places, offsets):
    """rows x tile.vectors sums over d < depth, in registers."""
    vector = ir.VectorType(a.type.pointee, tile.lanes(a.type.pointee))
    sums = [[cgutils.alloca_once(builder, vector) for _ in range(tile.vectors)] for _ in range(rows)]
    for place in (place for line in sums for place in line):
        builder.store(ir.Constant(vector, [0.0] * vector.count), place)
    a_rows = [builder.gep(a, [builder.mul(a_row, ir.Constant(INDEX, i))]) for i in range(rows)]
    starts = [builder.gep(b, [_field(builder, places, v, 0)]) for v in range(tile.vectors)]
    with emit_loop(builder, depth) as d:
        offset = builder.load(builder.gep(offsets, [d]))
        values = [builder.load(emit_place(builder, start, offset, vector), align=1) for start in starts]
        for line, a_i in zip(sums, a_rows, strict=True):
            weight = emit_splat(builder, builder.load(builder.gep(a_i, [d]), align=1), vector.count)
            for place, value in zip(line, values, strict=True):
                builder.store(emit_fma(builder, weight, value, builder.load(place), tile.fused), place)
    return [[builder.load(place) for place in line] for line in sums]


def emit_gathered(builder, depth, a, a_row, b, places, offsets, c, c_row, bias, fresh, *, tile, rows):
    """c = (bias if fresh else c) + the sums; of each vector as many lanes as its place says."""
    sums = emit_gathered_sums(builder, tile, rows, depth, a, a_row, b, places, offsets)
    vector, one = sums[0][0].type, ir.Constant(LANE, 1)
    numbers = ir.Constant(ir.VectorType(INDEX, vector.count), list(range(vector.count)))
    columns = [_field(builder, places, v, 1) for v in range(tile.vectors)]
    counts = [_field(builder, places, v, 2) for v in range(tile.vectors)]
    some = [builder.icmp_signed("<", numbers, emit_splat(builder, count, vector.count)) for count in counts]
    every = [ir.Constant(some[0].type, [1] * vector.count)] * tile.vectors
    whole = ir.Constant(ir.IntType(1), 1)
    for count in counts:
        whole = builder.and_(whole, builder.icmp_signed("==", count, ir.Constant(INDEX, vector.count)))
    with builder.if_else(whole) as branches:
        for masks, branch in zip((every, some), branches, strict=True):
            with branch:
                for i, line in enumerate(sums):
                    row = builder.gep(c, [builder.mul(c_row, ir.Constant(INDEX, i))])
                    start = builder.load(builder.gep(bias, [ir.Constant(INDEX, i)]), align=1)
                    start = emit_splat(builder, start, vector.count)
                    for at, mask, value in zip(columns, masks, line, strict=True):
                        where = emit_place(builder, row, at, vector)
                        old = builder.and_(mask, emit_splat(builder, builder.not_(fresh), vector.count))
                        before = emit_call(builder, "masked.load", vector, where, one, old, start)
                        added = builder.fadd(before, value)
                        emit_call(builder, "masked.store", ir.VoidType(), added, where, one, mask)


@intrinsic
def gathered_product(typingctx, rows, depth, a, a_row, b, places, offsets, c, c_row, bias, fresh):
    """c[i c_row + column + j] = (bias[i] if fresh else it) + sum over d < depth of a[i a_row + d] b[begin +
    offsets[d] + j].

    For i < rows <= ROWS, and for each of VECTORS places = (begin, column, count) and j < count <= LANES;
    where count is 0, nothing is written. a, b, c and bias are pointers to elements, places and offsets to
    int64. Of b whole vectors are read.
    """
    n = types.int64
    arguments = n, n, a, n, b, places, offsets, c, n, bias, types.boolean

    def emit(context, builder, sig, args):
        rows, depth, a, a_row, b, places, offsets, c, c_row, bias, fresh = args
        fresh = builder.trunc(fresh, ir.IntType(1))

        def piece(i, size):
            a_i, c_i = builder.gep(a, [builder.mul(i, a_row)]), builder.gep(c, [builder.mul(i, c_row)])
            emit = partial(emit_gathered, tile=TILE, rows=size)
            values = depth, a_i, a_row, b, places, offsets, c_i, c_row, builder.gep(bias, [i]), fresh
            emit_call_noinline(builder, f"gathered.{size}", emit, values)

        emit_by_rows(builder, rows, TILE, piece)
        return context.get_dummy_value()

    return types.void(*arguments), emit
