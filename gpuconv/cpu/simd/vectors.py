"""Vectors as values of kernels: loaded, combined, stored; and what else needs an instruction of its own.

What a vector holds is a type of its own for Numba (`Vector`), so kernels that use it are typed and compiled
like any others. The functions whose names begin with `emit` write LLVM IR and know nothing of Numba: the
other files of this room build on them, and tests compile them for processors that are not here.
"""

import operator
from contextlib import contextmanager

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, register_model

from gpuconv.cpu.simd.target import ELEMENTS, INDEX, LANE, LANES, TILE
from gpuconv.spec.dtypes import FLOAT32, FLOAT64


class Vector(types.Type):
    """The Numba type of one vector of `dtype`, float32, float64 or int32 (only loaded and stored)."""

    def __init__(self, dtype: types.Number) -> None:
        self.dtype, self.lanes = dtype, LANES[dtype.name]
        self.value = ir.VectorType(ELEMENTS[dtype.name], self.lanes)
        super().__init__(name=f"vector({dtype}, {self.lanes})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """A vector is one LLVM value."""

    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.value)


def emit_shuffle(builder, first, second, lanes):
    return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(LANE, len(lanes)), lanes))


def emit_splat(builder, scalar, lanes):
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    return emit_shuffle(
        builder, builder.insert_element(undefined, scalar, ir.Constant(LANE, 0)), undefined, [0] * lanes
    )


def emit_call(builder, name, result, *arguments, flags=()):
    """Call LLVM's intrinsic `name`, whose suffix says the type of the vectors."""
    vector = next(
        a.type for a in (*arguments,) if isinstance(a.type, ir.VectorType) and a.type.element != BIT
    )
    suffix = f"v{vector.count}{vector.element.intrinsic_name}"
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    pointers = ".p0" * any(isinstance(argument.type, ir.PointerType) for argument in arguments)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{suffix}{pointers}")
    return builder.call(function, arguments, fastmath=flags)


BIT = ir.IntType(1)


def emit_first_lanes(builder, count, lanes):
    """The mask of the first `count` lanes: none if it is negative, all if there are not so many."""
    zero, most = ir.Constant(INDEX, 0), ir.Constant(INDEX, lanes)
    positive = builder.select(builder.icmp_signed("<", count, zero), zero, count)
    count = builder.select(builder.icmp_signed(">", positive, most), most, positive)
    numbers = ir.Constant(ir.VectorType(LANE, lanes), list(range(lanes)))
    return builder.icmp_signed("<", numbers, emit_splat(builder, builder.trunc(count, LANE), lanes))


def emit_store_lanes(builder, value, where, mask, every=None):
    """Store the lanes of the mask; as a whole vector, where `every` says that these are all.

    AVX-512 has masked stores that are no slower; an AMD Zen 3 takes a dozen cycles for one of AVX2.
    """
    vector, one = value.type, ir.Constant(LANE, 1)
    arguments = "masked.store", ir.VoidType(), value, where, one, mask
    if vector.count * (64 if vector.element == ELEMENTS[FLOAT64] else 32) == 512:
        emit_call(builder, *arguments)
        return
    if every is None:
        all_bits = ir.IntType(vector.count)
        every = builder.icmp_signed("==", builder.bitcast(mask, all_bits), ir.Constant(all_bits, -1))
    with builder.if_else(every, likely=True) as (whole, some):
        with whole:
            builder.store(value, where, align=1)
        with some:
            emit_call(builder, *arguments)


def emit_fma(builder, a, b, c, fused=TILE.fused):
    """a * b + c; where no instruction does it, `llvm.fma` would be a call of the C library."""
    return emit_call(builder, "fma", a.type, a, b, c) if fused else builder.fadd(builder.fmul(a, b), c)


def emit_place(builder, place, at, vector):
    """Pointer to the vector that begins `at` elements after `place`."""
    return builder.bitcast(builder.gep(place, [at]), vector.as_pointer())


def emit_by_rows(builder, rows, tile, emit):
    """emit(i, size) for pieces of the tile's rows, of 4, 2 and 1 from row i on, until there are `rows`."""
    begin = cgutils.alloca_once(builder, INDEX)
    builder.store(ir.Constant(INDEX, 0), begin)
    for size in dict.fromkeys((tile.rows, 4, 2, 1)):
        i = builder.load(begin)
        with builder.if_then(builder.icmp_signed(">=", builder.sub(rows, i), ir.Constant(INDEX, size))):
            emit(i, size)
            builder.store(builder.add(i, ir.Constant(INDEX, size)), begin)


@contextmanager
def emit_loop(builder, count):
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


def emit_call_noinline(builder, name, emit, arguments):
    """Call a function of its own with the body emit(builder, *arguments).

    LLVM allocates registers function by function: a kernel around a large body would keep values in memory.
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
        return builder.load(emit_place(builder, *args, kind.value), align=1)

    return kind(place, types.int64), emit


def emit_load_between(builder, place, at, begin, end, vector):
    before, until = (emit_first_lanes(builder, count, vector.count) for count in (begin, end))
    mask = builder.and_(until, builder.not_(before))
    where, zero = emit_place(builder, place, at, vector), ir.Constant(vector, [0.0] * vector.count)
    return emit_call(builder, "masked.load", vector, where, ir.Constant(LANE, 1), mask, zero)


@intrinsic
def load_between(typingctx, place, at, begin, end):
    """The elements from place[at] on in the lanes begin <= lane < end; zero, and not read, in the others."""
    kind = Vector(place.dtype)

    def emit(context, builder, sig, args):
        return emit_load_between(builder, *args, kind.value)

    return kind(place, types.int64, types.int64, types.int64), emit


@intrinsic
def load_apart(typingctx, place, at, step, begin, end):
    """The same of elements that lie `step` apart: place[at + lane step]."""
    kind = Vector(place.dtype)

    def emit(context, builder, sig, args):
        place, at, step, begin, end = args
        zero, most = ir.Constant(INDEX, 0), ir.Constant(INDEX, kind.lanes)
        result = cgutils.alloca_once(builder, kind.value)
        starts, ends = builder.icmp_signed("<=", begin, zero), builder.icmp_signed(">=", end, most)
        with builder.if_else(builder.and_(starts, ends), likely=True) as (every, some):
            with every:
                value = ir.Constant(kind.value, ir.Undefined)
                for lane in range(kind.lanes):
                    where = builder.gep(place, [at])
                    value = builder.insert_element(
                        value, builder.load(where, align=1), ir.Constant(LANE, lane)
                    )
                    at = builder.add(at, step)
                builder.store(value, result)
            with some:
                builder.store(ir.Constant(kind.value, [0.0] * kind.lanes), result)
                first = builder.select(starts, zero, begin)
                last = builder.select(ends, most, end)
                lanes = builder.bitcast(result, place.type)
                with emit_loop(builder, builder.sub(last, first)) as i:
                    lane = builder.add(first, i)
                    where = builder.gep(place, [builder.add(args[1], builder.mul(lane, step))])
                    builder.store(builder.load(where, align=1), builder.gep(lanes, [lane]))
        return builder.load(result)

    return kind(place, *[types.int64] * 4), emit


@intrinsic
def load_part(typingctx, place, at, count, other):
    """The `count` elements from place[at] on, and the lanes of the vector `other` behind them."""

    def emit(context, builder, sig, args):
        mask = emit_first_lanes(builder, args[2], other.lanes)
        where = emit_place(builder, *args[:2], other.value)
        return emit_call(builder, "masked.load", other.value, where, ir.Constant(LANE, 1), mask, args[3])

    return other(place, types.int64, types.int64, other), emit


@intrinsic
def store(typingctx, place, at, vector):
    """Write the vector from place[at] on."""

    def emit(context, builder, sig, args):
        builder.store(args[2], emit_place(builder, *args[:2], vector.value), align=1)
        return context.get_dummy_value()

    return types.void(place, types.int64, vector), emit


@intrinsic
def store_part(typingctx, place, at, vector, count):
    """Write the vector's first `count` lanes from place[at] on."""

    def emit(context, builder, sig, args):
        where = emit_place(builder, *args[:2], vector.value)
        every = builder.icmp_signed(">=", args[3], ir.Constant(INDEX, vector.lanes))
        emit_store_lanes(builder, args[2], where, emit_first_lanes(builder, args[3], vector.lanes), every)
        return context.get_dummy_value()

    return types.void(place, types.int64, vector, types.int64), emit


@intrinsic
def splat(typingctx, scalar):
    """The vector whose lanes all are `scalar`."""
    kind = Vector(scalar)

    def emit(context, builder, sig, args):
        return emit_splat(builder, args[0], kind.lanes)

    return kind(scalar), emit


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c, rounded once where the CPU can."""

    def emit(context, builder, sig, args):
        return emit_fma(builder, *args)

    return a(a, b, c), emit


@intrinsic
def magnitude(typingctx, vector):
    """The lanes without their signs."""
    return vector(vector), lambda context, builder, sig, args: emit_call(builder, "fabs", args[0].type, *args)


@intrinsic
def if_positive(typingctx, condition, then, other):
    """`then` where the condition is above 0, else `other`, as where it is NaN."""

    def emit(context, builder, sig, args):
        zero = ir.Constant(condition.value, [0.0] * condition.lanes)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), *args[1:])

    return condition(condition, then, other), emit


STACKED = 32  # vectors


@intrinsic
def stacked(typingctx, place):
    """A pointer to STACKED vectors of the pointer's dtype, of anything, as long as the function runs."""

    def emit(context, builder, sig, args):
        kind = ir.ArrayType(Vector(place.dtype).value, STACKED)
        room = cgutils.alloca_once(builder, kind)
        return builder.bitcast(room, ELEMENTS[place.dtype.name].as_pointer())

    return place(place), emit


@intrinsic
def noinline(typingctx):
    """Keep the function that says so out of its callers, so that its loops have all registers."""

    def emit(context, builder, sig, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic
def claim(typingctx, counter):
    """The number of the next task, and one more for the next caller: atomically."""

    def emit(context, builder, sig, args):
        place = context.make_array(counter)(context, builder, args[0]).data
        return builder.atomic_rmw("add", place, ir.Constant(INDEX, 1), "monotonic")

    return types.int64(counter), emit


def _any_lane(true):
    """An intrinsic f(vector) that says whether true(builder, vector) is so in any lane."""

    @intrinsic
    def function(typingctx, vector):
        def emit(context, builder, sig, args):
            mask = builder.bitcast(true(builder, args[0]), ir.IntType(vector.lanes))
            return builder.icmp_unsigned("!=", mask, ir.Constant(mask.type, 0))

        return types.boolean(vector), emit

    return function


def _is_zero(builder, vector):
    return builder.fcmp_ordered("==", vector, ir.Constant(vector.type, [0.0] * vector.type.count))


def _is_negative_zero(builder, vector):
    bits = _bits(builder, vector)
    least = -(1 << bits.type.element.width - 1)
    return builder.icmp_signed("==", bits, ir.Constant(bits.type, [least] * bits.type.count))


has_nan = _any_lane(lambda builder, vector: builder.fcmp_unordered("uno", vector, vector))
has_zero, has_negative_zero = _any_lane(_is_zero), _any_lane(_is_negative_zero)


@intrinsic
def zeros(typingctx, place):
    """The vector of zeros, of the pointer's dtype."""
    kind = Vector(place.dtype)
    return kind(place), lambda context, builder, sig, args: ir.Constant(kind.value, [0.0] * kind.lanes)


@intrinsic
def filled(typingctx, place, number):
    """The vector of equal lanes, of the pointer's dtype, of a number in float64."""
    kind = Vector(place.dtype)

    def emit(context, builder, sig, args):
        element = kind.value.element
        rounded = builder.fptrunc(args[1], element) if element == ELEMENTS[FLOAT32] else args[1]
        return emit_splat(builder, rounded, kind.lanes)

    return kind(place, types.float64), emit


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


def _binary(emit):
    """An intrinsic f(a, b) on two vectors."""

    @intrinsic
    def function(typingctx, a, b):
        return a(a, b), lambda context, builder, sig, args: emit(builder, *args)

    return function


def _greatest(builder, a, b):
    """NaN where a or b is NaN; a where they are equal, as x86's own instruction has it."""
    greater = builder.select(builder.fcmp_ordered(">", b, a), b, a)
    return builder.select(builder.fcmp_unordered("uno", b, b), b, greater)


def _bits(builder, vector):
    """The lanes as integers."""
    bits = 32 if vector.type.element == ELEMENTS[FLOAT32] else 64
    return builder.bitcast(vector, ir.VectorType(ir.IntType(bits), vector.type.count))


def _least_bits(builder, a, b):
    """Of the bits as signed integers, of which those of -0.0 are the least."""
    first, second = _bits(builder, a), _bits(builder, b)
    return builder.bitcast(builder.select(builder.icmp_signed("<", first, second), first, second), a.type)


def _lanes(element):
    """A shuffle of two vectors of n lanes: lane i takes element(i, n) of both put end to end."""
    return lambda builder, a, b: emit_shuffle(
        builder, a, b, [element(i, a.type.count) for i in range(a.type.count)]
    )


def emit_limit(order):
    """v where it is above the bound, or below, by `order`, or NaN; else the bound, with its sign of zero."""
    return lambda builder, v, bound: builder.select(builder.fcmp_unordered(order, v, bound), v, bound)


greatest, least_bits = _binary(_greatest), _binary(_least_bits)
at_least, at_most = _binary(emit_limit(">")), _binary(emit_limit("<"))
even, odd = _binary(_lanes(lambda i, n: 2 * i)), _binary(_lanes(lambda i, n: 2 * i + 1))
from_one, from_last = _binary(_lanes(lambda i, n: i + 1)), _binary(_lanes(lambda i, n: i + n - 1))
first_pairs = _binary(_lanes(lambda i, n: i // 2 + i % 2 * n))
last_pairs = _binary(_lanes(lambda i, n: (n + i) // 2 + i % 2 * n))


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
