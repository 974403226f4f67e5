"""Windows over vectors of channels, for CPU kernels: rows of outputs summed in registers, as LLVM IR.

A vector holds a pixel of LANES channels, and so does each weight, since every channel has its own. Taps are
counted along the rows of the window, d = r S + s. What tap d of one row of outputs sees, tap d - lag of the
next row sees too, so it is loaded once:

    x + offsets[d]   [x0][x1][x2] ..     row 0   [y0][y1][y2] ..  += w[d] * x             for d < taps
                                         row 1   [y0][y1][y2] ..  += w[d - lag] * x     for d >= lag

CHANNEL_ROWS rows of up to CHANNEL_COLUMNS outputs are at work. Two loads a cycle are the most that processors
do, and one a product, of which they do two as well, is more than an AMD Zen 5 keeps up with.
"""

from functools import partial

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from gpuconv.cpu.simd.target import INDEX, TILE, Tile
from gpuconv.cpu.simd.vectors import BIT, emit_call_noinline, emit_fma, emit_loop, emit_place

CHANNEL_ROWS = 2


def channel_columns(tile: Tile) -> int:
    """Outputs of a row, such that sums, weights and a value of x find registers."""
    return 8 if tile.rows * tile.vectors >= 16 else 6


CHANNEL_COLUMNS = channel_columns(TILE)


def emit_taps(builder, tile, sums, x, x_step, offsets, begin, end, weights):
    """sums[t][j] += weights[t][d] * x[offsets[d] + j x_step], for begin <= d < end and each row t."""
    vector = sums[0][0].type.pointee
    with emit_loop(builder, builder.sub(end, begin)) as i:
        d = builder.add(begin, i)
        row = builder.gep(x, [builder.load(builder.gep(offsets, [d]))])
        at = builder.mul(d, ir.Constant(INDEX, vector.count))
        factors = [builder.load(emit_place(builder, w, at, vector), align=1) for w in weights]
        for j, places in enumerate(zip(*sums, strict=True)):
            step = builder.mul(x_step, ir.Constant(INDEX, j))
            value = builder.load(emit_place(builder, row, step, vector), align=1)
            for place, factor in zip(places, factors, strict=True):
                builder.store(emit_fma(builder, value, factor, builder.load(place), tile.fused), place)


def emit_channels(
    builder, begin, end, taps, lag, x, x_step, w, offsets, start, y, y_row, y_step, fresh, *, tile, rows,
    columns,
):  # fmt: skip
    """y = (start if fresh else y) + the sums of rows x columns outputs."""
    vector = ir.VectorType(x.type.pointee, tile.lanes(x.type.pointee))
    sums = [[cgutils.alloca_once(builder, vector) for _ in range(columns)] for _ in range(rows)]
    for place in (place for line in sums for place in line):
        builder.store(ir.Constant(vector, [0.0] * vector.count), place)
    if rows == 1:
        emit_taps(builder, tile, sums, x, x_step, offsets, begin, end, [w])
    else:
        weights = w, builder.gep(w, [builder.mul(lag, ir.Constant(INDEX, -vector.count))])
        limits = [begin]
        for limit in (lag, taps):  # from where on the second row takes part, and the first does not
            beyond = builder.icmp_signed(">", limit, limits[-1])
            limit = builder.select(beyond, limit, limits[-1])
            limits.append(builder.select(builder.icmp_signed("<", limit, end), limit, end))
        limits.append(end)
        for t, active in enumerate((slice(0, 1), slice(0, 2), slice(1, 2))):
            emit_taps(builder, tile, sums[active], x, x_step, offsets, *limits[t : t + 2], weights[active])
    first = builder.load(emit_place(builder, start, ir.Constant(INDEX, 0), vector), align=1)
    with builder.if_else(fresh) as branches:
        for is_fresh, branch in zip((True, False), branches, strict=True):
            with branch:  # results that are far away are not read for nothing
                for t, line in enumerate(sums):
                    row = builder.gep(y, [builder.mul(y_row, ir.Constant(INDEX, t))])
                    for j, place in enumerate(line):
                        where = emit_place(builder, row, builder.mul(y_step, ir.Constant(INDEX, j)), vector)
                        before = first if is_fresh else builder.load(where, align=1)
                        builder.store(builder.fadd(before, builder.load(place)), where, align=1)


def emit_channel_product(tile, builder, rows, columns, *arguments):
    """The code for so many rows and columns."""
    done = builder.append_basic_block("done")
    for size in range(1, CHANNEL_ROWS + 1):
        with builder.if_then(builder.icmp_signed("==", rows, ir.Constant(INDEX, size))):
            choice = builder.switch(columns, done)
            for number in range(1, channel_columns(tile) + 1):
                choice.add_case(ir.Constant(INDEX, number), builder.append_basic_block("columns"))
                builder.position_at_end(choice.cases[-1][1])
                emit = partial(emit_channels, tile=tile, rows=size, columns=number)
                emit_call_noinline(builder, f"channels.{size}.{number}", emit, arguments)
                builder.branch(done)
            builder.position_at_end(builder.append_basic_block("never"))
    builder.branch(done)
    builder.position_at_end(done)


@intrinsic
def channel_product(
    typingctx, rows, columns, begin, end, taps, lag, x, x_step, w, offsets, start, y, y_row, y_step, fresh
):  # fmt: skip
    """y[t y_row + j y_step] = (start if fresh else it) + sum of w[(d - t lag) L] * x[offsets[d] + j x_step].

    For t < rows <= CHANNEL_ROWS and j < columns <= CHANNEL_COLUMNS, over those begin <= d < end for which
    0 <= d - t lag < taps; L is LANES, every term a vector, and lag <= taps. x, w, start and y are
    pointers to elements, offsets to int64.
    """
    n = types.int64
    arguments = n, n, n, n, n, n, x, n, w, offsets, start, y, n, n, types.boolean

    def emit(context, builder, sig, args):
        emit_channel_product(TILE, builder, *args[:-1], builder.trunc(args[-1], BIT))
        return context.get_dummy_value()

    return types.void(*arguments), emit
