"""Grids and squares of vectors for CPU kernels, as LLVM IR: what Winograd's transforms need beside `simd`.

    t = load_grid(p, at, row_step, m, step, n)    m x n vectors at equal distances, a tuple, row after row
    store_grid(p, at, row_step, step, n, t)       and back
    t = load_line_between(p, at, n, i, j)         n vectors side by side, with `load_between`'s borders
    deal(t), windows(t), collect(t, n)            elements side by side -> a vector for each element, and back
    f = square_product(matrices)                  f(n, t) multiplies a square of vectors with constants

The counts m and n are constants where a kernel is compiled, so all vectors stay in registers.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from gpuconv.cpu.simd.target import INDEX
from gpuconv.cpu.simd.vectors import Vector, emit_fma, emit_load_between, emit_place, emit_shuffle


@intrinsic(prefer_literal=True)
def load_grid(typingctx, place, at, row_step, rows, step, columns):
    """A tuple of the vectors from place[at + i row_step + j step] on, i < rows, j < columns: constants."""
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(columns, types.IntegerLiteral):
        return None
    result = types.UniTuple(Vector(place.dtype), rows.literal_value * columns.literal_value)

    def emit(context, builder, sig, args):
        starts = _grid(builder, args[1], args[2], args[4], result.count, columns.literal_value)
        places = [emit_place(builder, args[0], start, result.dtype.value) for start in starts]
        return context.make_tuple(builder, result, [builder.load(place, align=1) for place in places])

    return result(place, types.int64, types.int64, rows, types.int64, columns), emit


@intrinsic(prefer_literal=True)
def load_line_between(typingctx, place, at, count, begin, end):
    """A tuple of `count` vectors side by side, a constant, as `load_between` in lanes begin <= lane < end."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    result = types.UniTuple(Vector(place.dtype), count.literal_value)

    def emit(context, builder, sig, args):
        vectors = []
        for passed in (ir.Constant(INDEX, i * result.dtype.lanes) for i in range(result.count)):
            begin, end = (builder.sub(limit, passed) for limit in args[3:])
            at = builder.add(args[1], passed)
            vectors.append(emit_load_between(builder, args[0], at, begin, end, result.dtype.value))
        return context.make_tuple(builder, result, vectors)

    return result(place, types.int64, count, types.int64, types.int64), emit


@intrinsic(prefer_literal=True)
def store_grid(typingctx, place, at, row_step, step, columns, values):
    """Write such a tuple of vectors."""
    if not isinstance(columns, types.IntegerLiteral):
        return None

    def emit(context, builder, sig, args):
        starts = _grid(builder, args[1], args[2], args[3], values.count, columns.literal_value)
        for start, value in zip(starts, cgutils.unpack_tuple(builder, args[5]), strict=True):
            builder.store(value, emit_place(builder, args[0], start, values.dtype.value), align=1)
        return context.get_dummy_value()

    return types.void(place, types.int64, types.int64, types.int64, columns, values), emit


def _grid(builder, at, row_step, step, count, columns):
    """at + i * row_step + j * step of `count` places: multiplied out, which LLVM does once before a loop."""
    for i, j in (divmod(place, columns) for place in range(count)):
        row = builder.add(at, builder.mul(row_step, ir.Constant(INDEX, i)))
        yield builder.add(row, builder.mul(step, ir.Constant(INDEX, j)))


@intrinsic
def deal(typingctx, values):
    """n vectors that hold n elements of each of LANES objects side by side -> a vector for each element.

    As (a0 b0 a1 b1 .., .. a7 b7) -> (a0 a1 .. a7, b0 b1 .. b7).
    """

    def emit(context, builder, sig, args):
        dealt = _deal(builder, cgutils.unpack_tuple(builder, args[0]))
        return context.make_tuple(builder, sig.return_type, dealt)

    return values(values), emit


def _deal(builder, values):
    n = len(values)
    if n == 1:
        return values
    ways = next(p for p in range(2, n + 1) if n % p == 0)  # elements e mod `ways` first, then e // ways
    parts = [values[i : i + ways] for i in range(0, n, ways)]
    dealt = [_deal(builder, [_every(builder, part, ways, first) for part in parts]) for first in range(ways)]
    return [vector for element in zip(*dealt, strict=True) for vector in element]


def _every(builder, values, step, first):
    """The elements first, first + step, .. of vectors put end to end: `step` vectors."""
    n = values[0].type.count
    places = [first + step * i for i in range(n)]
    result = emit_shuffle(builder, *values[:2], [place if place < 2 * n else 0 for place in places])
    for number, value in enumerate(values[2:], 2):
        lanes = [n + place % n if place // n == number else i for i, place in enumerate(places)]
        result = emit_shuffle(builder, result, value, lanes)
    return result


@intrinsic
def windows(typingctx, values):
    """m + 1 vectors side by side -> m + 2 vectors: lane i of the j-th is the element i * m + j."""
    result = types.UniTuple(values.dtype, values.count + 1)

    def emit(context, builder, sig, args):
        *line, after = cgutils.unpack_tuple(builder, args[0])
        dealt, n = _deal(builder, line), values.dtype.lanes
        moved = [emit_shuffle(builder, dealt[j], after, [*range(1, n), n + j]) for j in range(2)]
        return context.make_tuple(builder, result, dealt + moved)

    return result(values), emit


@intrinsic(prefer_literal=True)
def collect(typingctx, values, count):
    """The contrary of `deal`: each `count` vectors in turn -> as many, with their elements side by side."""
    if not isinstance(count, types.IntegerLiteral):
        return None

    def emit(context, builder, sig, args):
        flat, n = cgutils.unpack_tuple(builder, args[0]), count.literal_value
        collected = [_collect(builder, flat[i : i + n]) for i in range(0, len(flat), n)]
        return context.make_tuple(builder, sig.return_type, [vector for row in collected for vector in row])

    return values(values, count), emit


def _collect(builder, values):
    if len(values) == 1:
        return values
    evens, odds = _collect(builder, values[::2]), _collect(builder, values[1::2])
    n = values[0].type.count
    halves = ([i // 2 + i % 2 * n + half for i in range(n)] for half in (0, n // 2))
    lanes = list(halves)
    return [emit_shuffle(builder, a, b, half) for a, b in zip(evens, odds, strict=True) for half in lanes]


def square_product(matrices):
    """An intrinsic f(n, d): M d M^T for M = matrices[n], n a constant, and a square of vectors d, by rows.

    M holds exact numbers. Lines of equal magnitudes, such as those of the points p and -p in a Winograd
    transform, share their sums; a one costs no product, and a zero nothing. So each result depends on those
    elements of d alone for which M has no zero.
    """

    @intrinsic(prefer_literal=True)
    def function(typingctx, n, values):
        if not isinstance(n, types.IntegerLiteral):
            return None
        matrix = matrices[n.literal_value]
        result = types.UniTuple(values.dtype, len(matrix) ** 2)

        def emit(context, builder, sig, args):
            flat, size = cgutils.unpack_tuple(builder, args[1]), len(matrix[0])
            columns = [_product(builder, matrix, flat[j::size]) for j in range(size)]
            rows = [_product(builder, matrix, row) for row in zip(*columns, strict=True)]
            return context.make_tuple(builder, result, [vector for row in rows for vector in row])

        return result(n, values), emit

    return function


def _product(builder, matrix, values):
    """[sum over j of matrix[i][j] * values[j]]."""
    columns = [list(column) for column in zip(*matrix, strict=True)]
    values = list(values)
    for i, j in _twins(columns):  # a x + a y and a x - a y, from x + y and x - y
        values[i], values[j] = builder.fadd(values[i], values[j]), builder.fsub(values[i], values[j])
        same = [a if a == b else 0 for a, b in zip(columns[i], columns[j], strict=True)]
        columns[j] = [a - s for a, s in zip(columns[i], same, strict=True)]
        columns[i] = same
    rows = [list(row) for row in zip(*columns, strict=True)]
    twins = dict(_twins(rows))
    results = {}
    for i, row in enumerate(rows):
        if i in twins:  # u + v and u - v
            same = [a if a == b else 0 for a, b in zip(row, rows[twins[i]], strict=True)]
            u = _dot(builder, same, values)
            v = _dot(builder, [a - s for a, s in zip(row, same, strict=True)], values)
            results[i], results[twins[i]] = builder.fadd(u, v), builder.fsub(u, v)
        elif i not in results:
            results[i] = _dot(builder, row, values)
    return [results[i] for i in range(len(rows))]


def _twins(lines):
    """Pairs (i, j) of lines with the same magnitudes, of which some have the same sign and some another."""
    pairs, free = [], list(range(len(lines)))
    while free:
        i = free.pop(0)
        for j in free:
            same = {a == b for a, b in zip(lines[i], lines[j], strict=True) if a or b}
            if same == {True, False} and [abs(a) for a in lines[i]] == [abs(b) for b in lines[j]]:
                free.remove(j)
                pairs.append((i, j))
                break
    return pairs


def _dot(builder, factors, values):
    """Sum of factor * value, over the factors that are not zero; those of 1 come first."""
    terms = sorted((f, i) for i, f in enumerate(factors) if f)
    terms.sort(key=lambda term: (abs(term[0]) != 1, -term[0]))
    total = None
    for factor, i in terms:
        value = values[i]
        constant = ir.Constant(value.type, [float(factor)] * value.type.count)
        if total is None:
            total = value if factor == 1 else builder.fmul(constant, value)
        elif abs(factor) == 1:
            total = (builder.fadd if factor == 1 else builder.fsub)(total, value)
        else:
            total = emit_fma(builder, constant, value, total)
    return total
