"""Rows of elements that a kernel works in, and where they go: what kernels of planes have in common."""

from gpuconv.cpu.engine.compiled import inlined, inner
from gpuconv.cpu.simd import lanes, load, noinline, pointer, store, store_part, zeros

TERMS = 16  # that are added up plainly, before their sum is added to the others


@inner
def clear(row, count):
    """row[i] = 0 for i < count, and for up to a vector behind."""
    noinline()
    place = pointer(row, 0)
    for i in range(0, count, lanes(place)):
        store(place, i, zeros(place))


@inner
def clear_row(to, first, last):
    """to[q] = 0 for first <= q < last, and nothing behind."""
    full = last - (last - first) % lanes(to)
    for q in range(first, full, lanes(to)):
        store(to, q, zeros(to))
    if full < last:
        store_part(to, full, zeros(to), last - full)


@inner
def put_rows(rows, pitch, y, n, c, begin, end, in_rows):
    """y[n, c, h] = the row of `pitch` elements number h - begin; begin <= h < end."""
    noinline()
    W = y.shape[3]
    if not in_rows:
        for h in range(begin, end):
            for v in range(W):
                y[n, c, h, v] = rows[(h - begin) * pitch + v]
        return
    step = y.strides[2] // y.itemsize
    for h in range(begin, end):
        place, source = pointer(y[n, c], h * step), pointer(rows, (h - begin) * pitch)
        full = W - W % lanes(place)
        for v in range(0, full, lanes(place)):
            store(place, v, load(source, v))
        if full < W:
            store_part(place, full, load(source, full), W - full)


@inlined
def total_of(place, at, step, count):
    """The sum of the vectors at place[at + i step], i < count: of long sums the parts are added up first."""
    total = zeros(place)
    for first in range(0, count, TERMS):
        part = load(place, at + first * step)
        for i in range(first + 1, min(first + TERMS, count)):
            part = part + load(place, at + i * step)
        total = total + part
    return total
