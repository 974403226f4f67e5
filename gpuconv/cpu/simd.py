"""Vectors for CPU kernels: the only file with LLVM IR, and the only one that knows the machine's registers.

LLVM vectorises plain loops over rows, but it prefers 256 bits where the CPU has 512, and it keeps no tile of
accumulators in registers. So this file offers kernels what they need to say so themselves:

    p = pointer(array, at)          where element `at` of the array's memory lies (its strides do not count)
    lanes(p)                        how many of its elements a vector has
    v = load(p, at)                 the vector of elements p[at], p[at + 1], ..
    v = load_between(p, at, i, j)   its lanes i <= lane < j; zero, and not read, elsewhere
    store(p, at, v)                 and store_part(p, at, v, count): the first `count` lanes only
    splat(scalar)                   the vector of equal lanes
    fma(a, b, c)                    a * b + c; also a + b, a - b, a * b, a / b
    greatest(a, b), least(a, b)     NaN where either is
    even(a, b), odd(a, b)           elements 0, 2, .. and 1, 3, .. of a and b put end to end
    low(a, b), high(a, b)           the first and the second half of a0 b0 a1 b1 ..
    has_nan(v)                      whether any lane is NaN
    load_grid(..), store_grid(..)   vectors at equal distances from and to memory: a tuple, row after row
    deal(t), collect(t, n)          n elements side by side -> a vector each, and back (see there)
    square_product(matrices)        a function that multiplies squares of vectors with a constant matrix
    tile_product(..)                a tile of a matrix product, summed in registers
    claim(counter)                  the next task, shared among threads

Nothing needs to be aligned. What a vector holds is a type of its own for Numba (`Vector`), so kernels that use
it are typed and compiled like any others. The tile is chosen by the features of the CPU that Numba compiles for:

    target     lanes of float32   rows x vectors   vector registers: accumulators + one of A + a row of B
    AVX-512    16                 8 x 3            24 + 1 + 3 of 32
    AVX2       8                  6 x 2            12 + 1 + 2 of 16
    NEON       4                  8 x 2            16 + 8 + 2 of 32: LLVM loads all of A first
    others     4 (AVX: 8)         4 x 2            8 + 1 + 2 and a product of 16: no fused multiply-add
"""

import operator
import platform
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from llvmlite import ir
from numba.core import cgutils, codegen, config, types
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, register_model

INDEX, LANE = ir.IntType(64), ir.IntType(32)
ELEMENTS = {"float32": ir.FloatType(), "float64": ir.DoubleType()}


@dataclass(frozen=True, slots=True)
class Tile:
    """The registers that one tile of a matrix product takes: rows x vectors, and what the CPU can do."""

    rows: int
    vectors: int
    bits: int  # of a vector
    fused: bool  # a multiplication and an addition in one instruction

    def lanes(self, element: ir.Type) -> int:
        """Elements of one vector."""
        return self.bits // (32 if element == ELEMENTS["float32"] else 64)


def tile_of(features: str, machine: str) -> Tile:
    """The tile for LLVM's feature string (as in "+avx2,+fma,-avx512f") on a machine such as "x86_64".

    Examples
    --------
    >>> tile_of("+avx,+avx2,+fma,-avx512f", "x86_64")
    Tile(rows=6, vectors=2, bits=256, fused=True)
    """
    if machine.lower() in ("aarch64", "arm64"):
        return Tile(8, 2, 128, True)
    present = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw", "fma"} <= present:
        return Tile(8, 3, 512, True)
    if {"avx2", "fma"} <= present:
        return Tile(6, 2, 256, True)
    return Tile(4, 2, 256 if "avx" in present else 128, False)


_named: str | None = getattr(config, "CPU_FEATURES", None)  # NUMBA_CPU_FEATURES
FEATURES = codegen.get_host_cpu_features() if _named is None else _named
TILE = tile_of(FEATURES, platform.machine())
ROWS, VECTORS = TILE.rows, TILE.vectors
LANES = {dtype: TILE.lanes(element) for dtype, element in ELEMENTS.items()}


def description() -> str:
    """The tile in words, for the key of whatever keeps compiled code."""
    return repr(TILE)


class Vector(types.Type):
    """The Numba type of one vector of `dtype`, float32 or float64."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype, self.lanes = dtype, LANES[dtype.name]
        self.value = ir.VectorType(ELEMENTS[dtype.name], self.lanes)
        super().__init__(name=f"vector({dtype}, {self.lanes})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """A vector is one LLVM value."""

    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.value)


# What follows up to `pointer` emits IR and knows nothing of Numba, so that tests can compile it for other CPUs.


def _shuffle(builder, first, second, lanes):
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(LANE, len(lanes)), lanes))


def _splat(builder, scalar, lanes):
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    return _shuffle(
        builder, builder.insert_element(undefined, scalar, ir.Constant(LANE, 0)), undefined, [0] * lanes
    )


def _call(builder, name, result, *arguments, flags=()):
    """Call LLVM's intrinsic `name`, whose suffix says the type of the vectors."""
    vector = next(
        a.type for a in (*arguments,) if isinstance(a.type, ir.VectorType) and a.type.element != _BIT
    )
    suffix = f"v{vector.count}f{32 if vector.element == ELEMENTS['float32'] else 64}"
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    pointers = ".p0" * any(isinstance(argument.type, ir.PointerType) for argument in arguments)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{suffix}{pointers}")
    return builder.call(function, arguments, fastmath=flags)


_BIT = ir.IntType(1)


def _first_lanes(builder, count, lanes):
    """The mask of the first `count` lanes: none if it is negative, all if there are not so many."""
    zero, most = ir.Constant(INDEX, 0), ir.Constant(INDEX, lanes)
    positive = builder.select(builder.icmp_signed("<", count, zero), zero, count)
    count = builder.select(builder.icmp_signed(">", positive, most), most, positive)
    numbers = ir.Constant(ir.VectorType(LANE, lanes), list(range(lanes)))
    return builder.icmp_signed("<", numbers, _splat(builder, builder.trunc(count, LANE), lanes))


def _fma(builder, a, b, c, fused=TILE.fused):
    """a * b + c; where no instruction does it, `llvm.fma` would be a call of the C library."""
    return _call(builder, "fma", a.type, a, b, c) if fused else builder.fadd(builder.fmul(a, b), c)


def _place(builder, place, at, vector):
    """Pointer to the vector that begins `at` elements after `place`."""
    return builder.bitcast(builder.gep(place, [at]), vector.as_pointer())


@contextmanager
def _loop(builder, count):
    """A loop over k < count. LLVM must not unroll it: more addresses than registers would be at work."""
    k = cgutils.alloca_once(builder, INDEX)
    builder.store(ir.Constant(INDEX, 0), k)
    body, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", builder.load(k), count), body, after)
    builder.position_at_end(body)
    yield builder.load(k)
    following = builder.add(builder.load(k), ir.Constant(INDEX, 1))
    builder.store(following, k)
    branch = builder.cbranch(builder.icmp_signed("<", following, count), body, after)
    option = builder.module.add_metadata([ir.MetaDataString(builder.module, "llvm.loop.unroll.disable")])
    name = builder.module.add_metadata([option])
    name.operands = (name, option)  # LLVM knows a loop by a node that refers to itself
    branch.set_metadata("llvm.loop", name)
    builder.position_at_end(after)


def emit_product(builder, tile, rows, vectors, depth, a, a_row, b, b_step):
    """rows x vectors sums, in registers: sum over k < depth of a[i a_row + k] * b[k b_step + j]."""
    element = a.type.pointee
    lanes = tile.lanes(element)
    vector = ir.VectorType(element, lanes)
    zero = ir.Constant(vector, [0.0] * lanes)
    sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
    for i in range(rows):
        for j in range(vectors):
            builder.store(zero, sums[i][j])
    a_rows = [builder.gep(a, [builder.mul(a_row, ir.Constant(INDEX, i))]) for i in range(rows)]
    with _loop(builder, depth) as k:
        b_row = builder.mul(k, b_step)
        places = (builder.add(b_row, ir.Constant(INDEX, j * lanes)) for j in range(vectors))
        row = [builder.load(_place(builder, b, at, vector), align=1) for at in places]
        for i in range(rows):
            weight = _splat(builder, builder.load(builder.gep(a_rows[i], [k]), align=1), lanes)
            for j in range(vectors):
                added = _fma(builder, weight, row[j], builder.load(sums[i][j]), tile.fused)
                builder.store(added, sums[i][j])
    return [[builder.load(value) for value in line] for line in sums]


def emit_tile(builder, depth, a, a_row, b, b_step, c, c_row, bias, fresh, *, tile, rows, vectors):
    """c[i c_row + j] = (bias[i] if fresh else c[i c_row + j]) + the product's sums."""
    sums = emit_product(builder, tile, rows, vectors, depth, a, a_row, b, b_step)
    vector = sums[0][0].type
    for i in range(rows):
        row = builder.gep(c, [builder.mul(c_row, ir.Constant(INDEX, i))])
        places = [_place(builder, row, ir.Constant(INDEX, j * vector.count), vector) for j in range(vectors)]
        with builder.if_else(fresh) as (begin, go_on):
            with begin:
                start = builder.load(builder.gep(bias, [ir.Constant(INDEX, i)]), align=1)
                for place, value in zip(places, sums[i], strict=True):
                    builder.store(builder.fadd(_splat(builder, start, vector.count), value), place, align=1)
            with go_on:
                for place, value in zip(places, sums[i], strict=True):
                    builder.store(builder.fadd(builder.load(place, align=1), value), place, align=1)


def emit_tiles(builder, tile, rows, columns, depth, a, a_row, b, b_step, c, c_row, bias, fresh):
    """Tiles of ROWS, 4, 2 and 1 rows until there are `rows`; each with no more vectors than `columns` needs."""
    lanes = tile.lanes(a.type.pointee)
    begin = cgutils.alloca_once(builder, INDEX)
    builder.store(ir.Constant(INDEX, 0), begin)
    for size in dict.fromkeys((tile.rows, 4, 2, 1)):
        i = builder.load(begin)
        with builder.if_then(builder.icmp_signed(">=", builder.sub(rows, i), ir.Constant(INDEX, size))):
            a_i, c_i = builder.gep(a, [builder.mul(i, a_row)]), builder.gep(c, [builder.mul(i, c_row)])
            arguments = depth, a_i, a_row, b, b_step, c_i, c_row, builder.gep(bias, [i]), fresh
            for vectors in range(1, tile.vectors + 1):
                enough = builder.icmp_signed("<=", columns, ir.Constant(INDEX, vectors * lanes))
                more = builder.icmp_signed(">", columns, ir.Constant(INDEX, (vectors - 1) * lanes))
                with builder.if_then(builder.and_(enough, more)):
                    emit = partial(emit_tile, tile=tile, rows=size, vectors=vectors)
                    _call_apart(builder, f"tile.{size}.{vectors}", emit, arguments)
            builder.store(builder.add(i, ir.Constant(INDEX, size)), begin)


def _call_apart(builder, name, emit, arguments):
    """Call a function of its own with the body emit(builder, *arguments).

    LLVM allocates registers function by function: a kernel around a large body would keep its values in memory.
    """
    kinds = [argument.type for argument in arguments]
    name = f"{name}.{'.'.join(str(kind) for kind in kinds)}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), kinds), name)
    if function.is_declaration:
        function.linkage = "internal"
        function.attributes.add("noinline")
        inside = ir.IRBuilder(function.append_basic_block())
        emit(inside, *function.args)
        inside.ret_void()
    builder.call(function, arguments)


@intrinsic
def pointer(typingctx, array, at):
    """Where element `at` of the array's memory lies, counted from its first element."""

    def emit(context, builder, sig, args):
        return builder.gep(context.make_array(array)(context, builder, args[0]).data, [args[1]])

    return types.CPointer(array.dtype)(array, types.int64), emit


@intrinsic
def pointer_after(typingctx, place, at):
    """Where element place[at] lies."""
    return place(place, types.int64), lambda context, builder, sig, args: builder.gep(*args[:1], [args[1]])


@intrinsic
def lanes(typingctx, place):
    """How many elements of the pointer's or array's dtype a vector has: a constant in the compiled code."""

    def emit(context, builder, sig, args):
        return ir.Constant(INDEX, LANES[place.dtype.name])

    return types.int64(place), emit


@intrinsic
def load(typingctx, place, at):
    """The vector of the elements from place[at] on."""
    kind = Vector(place.dtype)

    def emit(context, builder, sig, args):
        return builder.load(_place(builder, *args, kind.value), align=1)

    return kind(place, types.int64), emit


def _load_between(builder, place, at, begin, end, vector):
    before, until = (_first_lanes(builder, count, vector.count) for count in (begin, end))
    mask = builder.and_(until, builder.not_(before))
    where, zero = _place(builder, place, at, vector), ir.Constant(vector, [0.0] * vector.count)
    return _call(builder, "masked.load", vector, where, ir.Constant(LANE, 1), mask, zero)


@intrinsic
def load_between(typingctx, place, at, begin, end):
    """The elements from place[at] on in the lanes begin <= lane < end; zero, and not read, in the others."""
    kind = Vector(place.dtype)

    def emit(context, builder, sig, args):
        return _load_between(builder, *args, kind.value)

    return kind(place, types.int64, types.int64, types.int64), emit


@intrinsic
def store(typingctx, place, at, vector):
    """Write the vector from place[at] on."""

    def emit(context, builder, sig, args):
        builder.store(args[2], _place(builder, *args[:2], vector.value), align=1)
        return context.get_dummy_value()

    return types.void(place, types.int64, vector), emit


@intrinsic
def store_part(typingctx, place, at, vector, count):
    """Write the vector's first `count` lanes from place[at] on."""

    def emit(context, builder, sig, args):
        mask = _first_lanes(builder, args[3], vector.lanes)
        where = _place(builder, *args[:2], vector.value)
        _call(builder, "masked.store", ir.VoidType(), args[2], where, ir.Constant(LANE, 1), mask)
        return context.get_dummy_value()

    return types.void(place, types.int64, vector, types.int64), emit


@intrinsic
def splat(typingctx, scalar):
    """The vector whose lanes all are `scalar`."""
    kind = Vector(scalar)

    def emit(context, builder, sig, args):
        return _splat(builder, args[0], kind.lanes)

    return kind(scalar), emit


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c, rounded once where the CPU can."""

    def emit(context, builder, sig, args):
        return _fma(builder, *args)

    return a(a, b, c), emit


@intrinsic
def tile_product(typingctx, rows, columns, depth, a, a_row, b, b_step, c, c_row, bias, fresh):
    """c[i, j] = (bias[i] if fresh else c[i, j]) + sum over k < depth of a[i, k] * b[k, j].

    For i < rows <= ROWS and j < columns <= VECTORS * LANES. a, b, c and bias are pointers; rows of a, b and c lie
    a_row, b_row and c_row apart. Columns are read and written in whole vectors.
    """
    sizes = types.int64
    arguments = sizes, sizes, sizes, a, sizes, b, sizes, c, sizes, bias, types.boolean

    def emit(context, builder, sig, args):
        rows, columns, depth, a, a_row, b, b_step, c, c_row, bias, fresh = args
        fresh = builder.trunc(fresh, _BIT)
        emit_tiles(builder, TILE, rows, columns, depth, a, a_row, b, b_step, c, c_row, bias, fresh)
        return context.get_dummy_value()

    return types.void(*arguments), emit


@intrinsic
def claim(typingctx, counter):
    """The number of the next task, and one more for the next caller: atomically."""

    def emit(context, builder, sig, args):
        place = context.make_array(counter)(context, builder, args[0]).data
        return builder.atomic_rmw("add", place, ir.Constant(INDEX, 1), "monotonic")

    return types.int64(counter), emit


@intrinsic
def has_nan(typingctx, vector):
    """Whether any lane is NaN."""

    def emit(context, builder, sig, args):
        lanes = builder.fcmp_unordered("uno", args[0], args[0])
        mask = builder.bitcast(lanes, ir.IntType(vector.lanes))
        return builder.icmp_unsigned("!=", mask, ir.Constant(mask.type, 0))

    return types.boolean(vector), emit


@intrinsic(prefer_literal=True)
def load_grid(typingctx, place, at, row_step, rows, step, columns):
    """The vectors from place[at + i * row_step + j * step] on, i < rows, j < columns, two constants: a tuple."""
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(columns, types.IntegerLiteral):
        return None
    result = types.UniTuple(Vector(place.dtype), rows.literal_value * columns.literal_value)

    def emit(context, builder, sig, args):
        starts = _grid(builder, args[1], args[2], args[4], result.count, columns.literal_value)
        places = [_place(builder, args[0], start, result.dtype.value) for start in starts]
        return context.make_tuple(builder, result, [builder.load(place, align=1) for place in places])

    return result(place, types.int64, types.int64, rows, types.int64, columns), emit


@intrinsic(prefer_literal=True)
def load_line_between(typingctx, place, at, count, begin, end):
    """A tuple of `count` vectors, a constant, side by side; as `load_between` in their lanes begin <= lane < end."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    result = types.UniTuple(Vector(place.dtype), count.literal_value)

    def emit(context, builder, sig, args):
        vectors = []
        for passed in (ir.Constant(INDEX, i * result.dtype.lanes) for i in range(result.count)):
            begin, end = (builder.sub(limit, passed) for limit in args[3:])
            at = builder.add(args[1], passed)
            vectors.append(_load_between(builder, args[0], at, begin, end, result.dtype.value))
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
            builder.store(value, _place(builder, args[0], start, values.dtype.value), align=1)
        return context.get_dummy_value()

    return types.void(place, types.int64, types.int64, types.int64, columns, values), emit


def _grid(builder, at, row_step, step, count, columns):
    """at + i * row_step + j * step of `count` places: multiplied out, which LLVM does once before a loop."""
    for i, j in (divmod(place, columns) for place in range(count)):
        row = builder.add(at, builder.mul(row_step, ir.Constant(INDEX, i)))
        yield builder.add(row, builder.mul(step, ir.Constant(INDEX, j)))


def _prefetch(to_write):
    """An intrinsic f(place, at) that has the cache line of place[at] fetched, where there is one."""

    @intrinsic
    def function(typingctx, place, at):
        def emit(context, builder, sig, args):
            where = builder.bitcast(builder.gep(args[0], [args[1]]), ir.IntType(8).as_pointer())
            kind = ir.FunctionType(ir.VoidType(), [where.type, LANE, LANE, LANE])
            function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            builder.call(function, [where, *(ir.Constant(LANE, number) for number in (to_write, 3, 1))])
            return context.get_dummy_value()

        return types.void(place, types.int64), emit

    return function


prefetch, prefetch_to_write = _prefetch(0), _prefetch(1)


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
    result = _shuffle(builder, *values[:2], [place if place < 2 * n else 0 for place in places])
    for number, value in enumerate(values[2:], 2):
        lanes = [n + place % n if place // n == number else i for i, place in enumerate(places)]
        result = _shuffle(builder, result, value, lanes)
    return result


@intrinsic
def windows(typingctx, values):
    """m + 1 vectors side by side -> m + 2 vectors: lane i of the j-th is the element i * m + j."""
    result = types.UniTuple(values.dtype, values.count + 1)

    def emit(context, builder, sig, args):
        *line, after = cgutils.unpack_tuple(builder, args[0])
        dealt, n = _deal(builder, line), values.dtype.lanes
        moved = [_shuffle(builder, dealt[j], after, [*range(1, n), n + j]) for j in range(2)]
        return context.make_tuple(builder, result, dealt + moved)

    return result(values), emit


@intrinsic(prefer_literal=True)
def collect(typingctx, values, count):
    """The contrary of `deal`: each `count` vectors in turn -> as many, which hold their elements side by side."""
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
    return [_shuffle(builder, a, b, half) for a, b in zip(evens, odds, strict=True) for half in lanes]


def square_product(matrices):
    """An intrinsic f(n, d): M d M^T for M = matrices[n], n a constant, and d a square of vectors, row after row.

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
            total = _fma(builder, constant, value, total)
    return total


def _binary(emit):
    """An intrinsic f(a, b) on two vectors."""

    @intrinsic
    def function(typingctx, a, b):
        return a(a, b), lambda context, builder, sig, args: emit(builder, *args)

    return function


def _extreme(name):
    """NaN where a or b is NaN; which of two zeros does not matter, which spares x86 half of the instructions."""
    return lambda builder, a, b: _call(builder, name, a.type, a, b, flags=("nsz",))


def _lanes(element):
    """A shuffle of two vectors of n lanes: lane i takes element(i, n) of both put end to end."""
    return lambda builder, a, b: _shuffle(
        builder, a, b, [element(i, a.type.count) for i in range(a.type.count)]
    )


greatest, least = _binary(_extreme("maximum")), _binary(_extreme("minimum"))
even, odd = _binary(_lanes(lambda i, n: 2 * i)), _binary(_lanes(lambda i, n: 2 * i + 1))
low, high = (
    _binary(_lanes(lambda i, n: i // 2 + i % 2 * n)),
    _binary(_lanes(lambda i, n: (i + n) // 2 + i % 2 * n)),
)


def _operator(symbol, emit):
    """Let Python's `symbol` combine two vectors."""

    class Typing(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[0], Vector) and args[0] == args[1]:
                return signature(args[0], *args)

    infer_global(symbol)(Typing)
    lower_builtin(symbol, Vector, Vector)(lambda context, builder, sig, args: emit(builder, *args))


_operator(operator.add, ir.IRBuilder.fadd)
_operator(operator.sub, ir.IRBuilder.fsub)
_operator(operator.mul, ir.IRBuilder.fmul)
_operator(operator.truediv, ir.IRBuilder.fdiv)
