"""What `conv_winograd` does with a span of tiles: transform the inputs, multiply, transform back, and store.

Each function is inlined into a kernel that is compiled for one m, so that m, t = m + 2 and `after` = m + 1
are constants. A vector holds one element of LANES tiles, in all of these steps. Tiles are numbered along the
TH rows of TW tiles of an image, and on through the images of the batch, and a span of T of them may begin and
end anywhere:

    tile = (n * TH + ty) * TW + tx      has the outputs y[n, :, ty m + i, tx m + j], i < m and j < m

The t x t elements xi of a transformed tile lie in planes of their own, V[xi][c][tile] and M[xi][k][tile];
likewise those of the weights, in U[xi][part][k][c], where a part is of DEPTH channels c. That is for one span
of tiles and one block of output channels; where there are several, one V or U follows the other, so that a
product reads them from end to end. After each xi there is a vector to spare: a vector may reach beyond the
last tile, and t^2 rows that lie a power of two apart would compete for the same few places of a cache.
"""

from collections import namedtuple
from fractions import Fraction

from gpuconv.cpu.conv.winograd.cook_toom import cook_toom
from gpuconv.cpu.engine.compiled import merged
from gpuconv.cpu.engine.epilogue import completed, finish_block, in_registers, start
from gpuconv.cpu.simd import (
    ROWS,
    VECTORS,
    fma,
    has_nan,
    lanes,
    load,
    load_between,
    pointer,
    prefetch,
    prefetch_to_write,
    splat,
    store,
    store_part,
    tile_product,
)
from gpuconv.cpu.simd.finish import finished
from gpuconv.cpu.simd.squares import (
    collect,
    deal,
    load_grid,
    load_line_between,
    square_product,
    store_grid,
    windows,
)

POINTS = {2: (0, 1, -1), 4: (0, Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2))}
DEPTH = 64  # input channels whose products are summed before the sum is added to the others


def _matrices(points):
    """A^T, 2 G, and B^T; G of m = 2 holds halves, whose products would round the smallest weights."""
    A, G, B = cook_toom(points)
    return A, tuple(tuple(2 * g for g in row) for row in G), B


_all_matrices = {m: _matrices(points) for m, points in POINTS.items()}
# f(m, vectors): A^T .. A of t x t vectors, G .. G^T of 3 x 3, and B^T .. B of t x t; row after row
output_transform, weight_transform, input_transform = (
    square_product({m: three[which] for m, three in _all_matrices.items()}) for which in range(3)
)

# TH, TW: tiles of an image; T, K: the most tiles of a span and output channels of a block; elements of one of
# `lines`, from each k to the next in U, and from each xi to the next in U, V and M
Sizes = namedtuple("Sizes", "TH TW T K line U_row U_step V_step M_step")
# taps: kernels of the last few channels; d, lines, rows: see the transforms of inputs and outputs; ROWS zeros
Arrays = namedtuple("Arrays", "U V M taps d lines rows zeros")


@merged
def transform_weights(m, t, w, k, sizes, arrays, U_at, row):
    """U[xi][..][row][c] = element xi of G g G^T for the kernels g = w[k, c]; this U begins at U[U_at].

    A vector holds LANES channels c. `taps` takes the last ones, where they are fewer.
    """
    C, taps, U_step = w.shape[1], arrays.taps, sizes.U_step
    p_taps, p_U = pointer(taps, 0), pointer(arrays.U, U_at + row * sizes.U_row)
    step = lanes(p_U)
    whole = C - C % step
    for c in range(whole, C):
        for r in range(3):
            for s in range(3):
                taps[9 * (c - whole) + 3 * r + s] = w[k, c, r, s]
    for c in range(0, C, step):
        place = pointer(w, 9 * (k * C + c)) if c < whole else p_taps
        g = deal(load_grid(place, 0, 0, 1, step, 9))
        at = c // DEPTH * sizes.K * sizes.U_row + c % DEPTH
        store_grid(p_U, at, t * U_step, U_step, t, weight_transform(m, g))


@merged
def steps_of(array):
    """The strides of the dimensions 0, 1 and 2 in elements."""
    size = array.itemsize
    return array.strides[0] // size, array.strides[1] // size, array.strides[2] // size


@merged
def transform_inputs(m, after, t, x, x_in_rows, c_begin, c_end, pads, begin, end, sizes, arrays, at):
    """V[xi][c - c_begin][tile - begin] = element xi of B^T d B, begin <= tile < end; this V begins at V[at].

    First d[i][j][tile] gathers element (i, j) of each tile, row by row of the image: m + 1 vectors of a row
    make one vector of each column j. The last of the t + 1 `lines` is zero, and stands for the rows outside
    of the image; the others take the rows of an x whose elements do not lie side by side.
    """
    H, W = x.shape[2:]
    TH, TW, T, line, V_step = sizes.TH, sizes.TW, sizes.T, sizes.line, sizes.V_step
    lines, steps = arrays.lines, steps_of(x)
    p_d, p_V = pointer(arrays.d, 0), pointer(arrays.V, at)
    step = lanes(p_V)
    d_step = T + step  # the last vector of a line reaches beyond its tiles
    for c in range(c_begin, c_end):
        tx, ty, n = begin % TW, begin // TW % TH, begin // (TW * TH)
        tile = 0
        while tile < end - begin:
            count = min(TW - tx, end - begin - tile)  # tiles that lie side by side
            h, v = ty * m - pads[0], tx * m - pads[1]
            if not x_in_rows:
                for i in range(t):
                    for j in range(line):
                        inside = 0 <= h + i < H and 0 <= v + j < W
                        lines[i * line + j] = x[n, c, h + i, v + j] if inside else 0
            for j in range(0, count, step):
                first = v + j * m
                whole = not x_in_rows or (first >= 0 and first + step * after <= W)
                for i in range(t):
                    place = pointer(lines, (t if x_in_rows else i) * line + j * m)
                    if x_in_rows and 0 <= h + i < H:
                        place = pointer(x, n * steps[0] + c * steps[1] + (h + i) * steps[2] + first)
                    for ahead in range(0, step * m, step):
                        prefetch(place, 2 * steps[1] + ahead)  # two channels ahead
                    if whole:
                        row = load_grid(place, 0, 0, 1, step, after)
                    else:
                        row = load_line_between(place, 0, after, -first, W - first)
                    store_grid(p_d, i * t * d_step + tile + j, 0, d_step, t, windows(row))
            tile += count
            tx, ty = 0, ty + 1
            if ty == TH:
                ty, n = 0, n + 1
        for tile in range(0, end - begin, step):
            elements = load_grid(p_d, tile, t * d_step, t, d_step, t)
            store_grid(p_V, (c - c_begin) * T + tile, t * V_step, V_step, t, input_transform(m, elements))


@merged
def multiply(t, rows, C, tiles, sizes, arrays, U_at, V_at):
    """M[xi][k][tile] = sum over c of U[xi][..][k][c] * V[xi][c][tile], k < rows, at U[U_at] and V[V_at]."""
    U_row, T = sizes.U_row, sizes.T
    p_zeros = pointer(arrays.zeros, 0)
    columns = VECTORS * lanes(p_zeros)
    for xi in range(t * t):
        for tile in range(0, tiles, columns):
            for c in range(0, C, DEPTH):
                part = U_at + xi * sizes.U_step + c // DEPTH * sizes.K * U_row
                p_V = pointer(arrays.V, V_at + xi * sizes.V_step + c * T + tile)
                for k in range(0, rows, ROWS):
                    p_U = pointer(arrays.U, part + k * U_row)
                    p_M = pointer(arrays.M, xi * sizes.M_step + k * T + tile)
                    tile_product(
                        min(ROWS, rows - k), min(columns, tiles - tile), min(DEPTH, C - c), p_U, U_row,
                        p_V, T, p_M, T, p_zeros, c == 0,
                    )  # fmt: skip


@merged
def fetch(residual, n, k, p, q, width):
    """Have `width` elements of a row fetched."""
    steps = steps_of(residual)
    place = pointer(residual, n * steps[0] + k * steps[1] + p * steps[2] + q)
    for v in range(0, width, lanes(place)):
        prefetch(place, v)


@merged
def transform_outputs(
    m, t, residual, y, epilogue, y_in_rows, k_begin, k_end, bias, begin, end, sizes, arrays, spoilt
):  # fmt: skip
    """y = A^T M A + bias for these tiles and output channels, finished; spoilt[n] where a sum of image n is
    not finite.

    The m rows of all tiles are put side by side into `rows`, and copied from there.
    """
    P, Q = y.shape[2:]
    TH, TW, T, M_step = sizes.TH, sizes.TW, sizes.T, sizes.M_step
    rows, steps = arrays.rows, steps_of(y)
    p_M, p_rows = pointer(arrays.M, 0), pointer(rows, 0)
    step = lanes(p_M)
    zero = splat(y.dtype.type(0))
    finish = in_registers(residual, y, epilogue)
    scale = y.dtype.type(0.25)  # of 2 G and its transpose, undone
    for k in range(k_begin, k_end):
        offset = splat(start(bias, k))
        for tile in range(0, end - begin, step):
            elements = load_grid(p_M, (k - k_begin) * T + tile, t * M_step, t, M_step, t)
            store_grid(p_rows, tile * m, T * m, step, m, collect(output_transform(m, elements), m))
        tx, ty, n = begin % TW, begin // TW % TH, begin // (TW * TH)
        tile = 0
        while tile < end - begin:
            count = min(TW - tx, end - begin - tile)
            q = tx * m
            width = min(count * m, Q - q)
            bad = zero  # 0 * a finite value is 0, and anything else is NaN
            for i in range(min(m, P - ty * m)):
                at = (i * T + tile) * m
                if y_in_rows:
                    place = pointer(y, n * steps[0] + k * steps[1] + (ty * m + i) * steps[2] + q)
                    if epilogue.is_added:
                        fetch(residual, n, k + 1, ty * m + i, q, width)
                    rest = width % step
                    for v in range(0, width - rest, step):
                        result = completed(load(p_rows, at + v), splat(scale), offset)
                        bad = fma(result, zero, bad)
                        store(place, v, finished(result, place, v, step, finish))
                        prefetch_to_write(place, steps[1] + v)  # one channel ahead
                    if rest:
                        result = completed(
                            load_between(p_rows, at + width - rest, 0, rest), splat(scale), offset
                        )
                        bad = fma(result, zero, bad)
                        result = finished(result, place, width - rest, rest, finish)
                        store_part(place, width - rest, result, rest)
                else:
                    for v in range(width):
                        scalar = rows[at + v] * scale + start(bias, k)
                        y[n, k, ty * m + i, q + v] = scalar
                        bad = fma(splat(scalar), zero, bad)
            if epilogue.mode == 0 or not y_in_rows:
                p_end = min(ty * m + m, P)
                finish_block(residual, y, n, k, k + 1, ty * m, p_end, q, width, epilogue)
            if has_nan(bad):
                spoilt[n] = True
            tile += count
            tx, ty = 0, ty + 1
            if ty == TH:
                ty, n = 0, n + 1
