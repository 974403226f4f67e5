"""Large windows over bands, for CPU kernels: tiles of rows of outputs summed in registers, as LLVM IR.

    t = 0  [ v ][ v ]      a tile: WINDOW_ROWS rows x up to WINDOW_VECTORS vectors of outputs of one channel,
    t = 1  [ v ][ v ]      which lie as far apart as rows of the window
    ..

For one column s of the window, the weights of up to WINDOW_TAPS of its rows are kept in registers. Each
vector of x is then loaded once, and serves every row of outputs t whose window covers its row i: it is row i
- t of that window. What no tap covers is never multiplied, so that a NaN stays within its windows.

    registers   sums     weights and a vector of x
    32          7 x 2    4 + 1
    16          4 x 2    3 + 1
"""

from contextlib import contextmanager
from functools import partial

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from gpuconv.cpu.simd.target import INDEX, LANE, TILE, Tile
from gpuconv.cpu.simd.vectors import (
    emit_call,
    emit_call_noinline,
    emit_fma,
    emit_loop,
    emit_place,
    emit_splat,
    emit_store_lanes,
)

WINDOW_VECTORS = 2
GROUP = 5  # numbers of a group of taps: see `window_product`


def window_shape(tile: Tile) -> tuple[int, int]:
    """Rows of outputs in a tile, and rows of the window that are taken at a time."""
    return (7, 4) if tile.rows * tile.vectors >= 16 else (4, 3)


WINDOW_ROWS, WINDOW_TAPS = window_shape(TILE)


def emit_taps(builder, tile, sums, x_rows, offsets, count, w_rows):
    """sums[t][v] += w_rows[j][s] * x_rows[t + j][offsets[s] + v lanes ..] for all j and s < count."""
    vector = sums[0][0].type.pointee
    with emit_loop(builder, count) as s:
        offset = builder.load(builder.gep(offsets, [s]))
        scalars = [builder.load(builder.gep(row, [s]), align=1) for row in w_rows]
        weights = [emit_splat(builder, scalar, vector.count) for scalar in scalars]
        for i, row in enumerate(x_rows):
            for v in range(len(sums[0])):
                at = builder.add(offset, ir.Constant(INDEX, v * vector.count))
                value = builder.load(emit_place(builder, row, at, vector), align=1)
                for t in range(max(0, i - len(w_rows) + 1), min(len(sums), i + 1)):
                    added = emit_fma(builder, value, weights[i - t], builder.load(sums[t][v]), tile.fused)
                    builder.store(added, sums[t][v])


def emit_group(builder, tile, sums, group, x, x_row, offsets, w, w_row):
    """The taps of one group, whose number of rows decides about the code."""
    fields = (builder.load(builder.gep(group, [ir.Constant(INDEX, i)])) for i in range(GROUP))
    taps, x_begin, w_begin, first, count = fields
    most = window_shape(tile)[1]
    x_rows, w_rows = [builder.gep(x, [x_begin])], [builder.gep(w, [w_begin])]
    for _ in range(len(sums) + most - 2):
        x_rows.append(builder.gep(x_rows[-1], [x_row]))
    for _ in range(most - 1):
        w_rows.append(builder.gep(w_rows[-1], [w_row]))
    done = builder.append_basic_block("added")
    choice = builder.switch(taps, done)
    for number in range(1, most + 1):
        choice.add_case(ir.Constant(INDEX, number), builder.append_basic_block("taps"))
        builder.position_at_end(choice.cases[-1][1])
        seen = x_rows[: len(sums) + number - 1], builder.gep(offsets, [first]), count
        emit_taps(builder, tile, sums, *seen, w_rows[:number])
        builder.branch(done)
    builder.position_at_end(done)


def emit_tile_of_windows(builder, tile, shape, columns, x, x_row, w, w_row, y, y_row, start, tables):
    """shape = (rows, vectors) outputs: y = start + the sums of each block of groups."""
    groups, ends, blocks, offsets = tables
    vector = ir.VectorType(x.type.pointee, tile.lanes(x.type.pointee))
    sums = [[cgutils.alloca_once(builder, vector) for _ in range(shape[1])] for _ in range(shape[0])]
    group = cgutils.alloca_once(builder, groups.type)
    builder.store(groups, group)
    with emit_loop(builder, blocks) as block:
        for place in (place for line in sums for place in line):
            builder.store(ir.Constant(vector, [0.0] * vector.count), place)
        with emit_loop(builder, builder.load(builder.gep(ends, [block]))):
            emit_group(builder, tile, sums, builder.load(group), x, x_row, offsets, w, w_row)
            builder.store(builder.gep(builder.load(group), [ir.Constant(INDEX, GROUP)]), group)
        values = [[builder.load(place) for place in line] for line in sums]
        fresh = builder.icmp_signed("==", block, ir.Constant(INDEX, 0))
        _add_sums(builder, values, columns, y, y_row, start, fresh)


def _add_sums(builder, sums, columns, y, y_row, start, fresh):
    """y = (start if fresh else y) + sums; of the last vector of each row only what `columns` leaves."""
    vector, one = sums[0][0].type, ir.Constant(LANE, 1)
    numbers = ir.Constant(ir.VectorType(INDEX, vector.count), list(range(vector.count)))
    begin = ir.Constant(INDEX, (len(sums[0]) - 1) * vector.count)
    last = builder.icmp_signed("<", numbers, emit_splat(builder, builder.sub(columns, begin), vector.count))
    every = ir.Constant(last.type, [1] * vector.count)
    starts = emit_splat(builder, start, vector.count)
    with builder.if_else(fresh) as branches:
        for before, branch in zip((starts, None), branches, strict=True):
            with branch:
                for t, line in enumerate(sums):
                    row = builder.gep(y, [builder.mul(y_row, ir.Constant(INDEX, t))])
                    for v, value in enumerate(line):
                        where = emit_place(builder, row, ir.Constant(INDEX, v * vector.count), vector)
                        is_last = v == len(line) - 1
                        mask = last if is_last else every
                        old = before or emit_call(builder, "masked.load", vector, where, one, mask, value)
                        added = builder.fadd(old, value)
                        if is_last:
                            emit_store_lanes(builder, added, where, mask)
                        else:
                            builder.store(added, where, align=1)


def emit_windows(tile, builder, rows, columns, x, x_row, w, w_row, y, y_row, start, *tables):
    """Tiles of window_shape(tile)[0], 3 and 1 rows until there are `rows`; of two vectors or one."""
    lanes = tile.lanes(x.type.pointee)
    first, column = (cgutils.alloca_once(builder, INDEX) for _ in range(2))
    builder.store(ir.Constant(INDEX, 0), first)
    for size in (window_shape(tile)[0], 3, 1):
        with _while_left(builder, rows, first, size) as i:
            x_i, y_i = (
                builder.gep(place, [builder.mul(i, step)]) for place, step in ((x, x_row), (y, y_row))
            )
            builder.store(ir.Constant(INDEX, 0), column)
            with _while_left(builder, columns, column, 1) as j:
                left = builder.sub(columns, j)
                x_j, y_j = builder.gep(x_i, [j]), builder.gep(y_i, [j])
                with builder.if_else(builder.icmp_signed("<=", left, ir.Constant(INDEX, lanes))) as branches:
                    for vectors, branch in enumerate(branches, 1):
                        with branch:
                            arguments = x_j, x_row, w, w_row, y_j, y_row, start, tables
                            emit_tile_of_windows(builder, tile, (size, vectors), left, *arguments)
                builder.store(builder.add(j, ir.Constant(INDEX, WINDOW_VECTORS * lanes)), column)
            builder.store(builder.add(i, ir.Constant(INDEX, size)), first)


@contextmanager
def _while_left(builder, total, place, size):
    """A loop that goes on as long as `size` of `total` are left after those that `place` counts."""
    test, body, end = (builder.append_basic_block(name) for name in ("test", "body", "end"))
    builder.branch(test)
    builder.position_at_end(test)
    count = builder.load(place)
    enough = builder.icmp_signed(">=", builder.sub(total, count), ir.Constant(INDEX, size))
    builder.cbranch(enough, body, end)
    builder.position_at_end(body)
    yield count
    builder.branch(test)
    builder.position_at_end(end)


@intrinsic
def window_product(
    typingctx, rows, columns, x, x_row, w, w_row, y, y_row, start, groups, ends, blocks, offsets
):
    """y[t y_row + j] = start + the sum over the taps of a window of w * x, for t < rows and j < columns.

    x, w, y, groups, ends and offsets are pointers. `ends` holds the number of groups of each of `blocks`
    blocks; the sum of a block is added to y when it is complete. A group is five numbers: taps <=
    WINDOW_TAPS, x_begin, w_begin, first and count. It adds the sum over i < taps and s < count of

        w[w_begin + i w_row + s] * x[x_begin + (t + i) x_row + offsets[first + s] + j]

    x is read in whole vectors, y is written within `columns` alone.
    """
    n = types.int64
    arguments = n, n, x, n, w, n, y, n, start, groups, ends, n, offsets

    def emit(context, builder, sig, args):
        emit_call_noinline(builder, "window_product", partial(emit_windows, TILE), args)
        return context.get_dummy_value()

    return types.void(*arguments), emit
