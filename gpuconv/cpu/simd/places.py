"""Places beside values, for CPU kernels: vectors whose lanes hold integers, as many bits as an element has.

A vector of values is compared, and what is chosen by it of two vectors may be anything: the values, or the
places that they come from. Nothing computes with the bits of a place as with a number.
"""

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from gpuconv.cpu.simd.target import ELEMENTS, INDEX
from gpuconv.cpu.simd.vectors import Vector, emit_splat
from gpuconv.spec.dtypes import FLOAT32


@intrinsic
def if_greater(typingctx, value, best, then, other):
    """`then` where the value is greater, or a NaN where `best` is none; else `other`."""

    def emit(context, builder, sig, args):
        value, best, then, other = args
        above = builder.fcmp_unordered(">", value, best)
        return builder.select(builder.and_(above, builder.fcmp_ordered("ord", best, best)), then, other)

    return value(value, value, value, value), emit


def _integers(vector):
    """The type of the lanes of a vector of floats, taken as integers."""
    return ir.VectorType(ir.IntType(32 if vector.element == ELEMENTS[FLOAT32] else 64), vector.count)


def _emit_numbers(builder, number, kind):
    """The vector of integers that all are `number`."""
    short = number if kind.element == INDEX else builder.trunc(number, kind.element)
    return emit_splat(builder, short, kind.count)


@intrinsic
def numbered(typingctx, place, number):
    """The vector whose lanes hold the integer `number`, for the pointer's dtype."""
    kind = Vector(place.dtype)

    def emit(context, builder, sig, args):
        return builder.bitcast(_emit_numbers(builder, args[1], _integers(kind.value)), kind.value)

    return kind(place, types.int64), emit


@intrinsic
def moved(typingctx, vector, number):
    """The integers in the lanes, and `number` more."""

    def emit(context, builder, sig, args):
        kind = _integers(vector.value)
        total = builder.add(builder.bitcast(args[0], kind), _emit_numbers(builder, args[1], kind))
        return builder.bitcast(total, vector.value)

    return vector(vector, types.int64), emit


@intrinsic
def number_at(typingctx, place, at):
    """The integer that the element place[at] holds."""

    def emit(context, builder, sig, args):
        kind = _integers(Vector(place.dtype).value).element
        number = builder.load(builder.bitcast(builder.gep(args[0], [args[1]]), kind.as_pointer()), align=1)
        return number if kind == INDEX else builder.sext(number, INDEX)

    return types.int64(place, types.int64), emit


@intrinsic
def place_of(typingctx, array):
    """A pointer to the array's first element; None if it is None, as where no places are asked for."""
    if isinstance(array, types.NoneType):
        return array(array), lambda context, builder, sig, args: context.get_dummy_value()

    def emit(context, builder, sig, args):
        return context.make_array(array)(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), emit


@intrinsic
def behind(typingctx, place, at):
    """A pointer to place[at]; None if there are no places."""

    def emit(context, builder, sig, args):
        return context.get_dummy_value() if place == types.none else builder.gep(args[0], [args[1]])

    return place(place, types.int64), emit
