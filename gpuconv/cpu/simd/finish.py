"""Complete sums made results while they are in registers: a residual, and what bounds and a slope can do.

    v  =  v + residual              where ADDED
    v  =  v if v > 0 else slope v   where SLOPED
    v  =  v if v > 0 else 0         where LEAST
    v  =  v if v < most else most   where MOST; a NaN stays one

Which of these is known when a kernel runs. The residual lies as the results do, in memory of its own.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from gpuconv.cpu.simd.target import INDEX, LANE
from gpuconv.cpu.simd.vectors import emit_call, emit_first_lanes, emit_limit, emit_place, emit_splat

ADDED, SLOPED, LEAST, MOST = 1, 2, 4, 8


class Finish(NamedTuple):
    """What is done to sums: numbers of a kernel, and LLVM values here."""

    mode: Any  # of ADDED, SLOPED, LEAST, MOST those that are to be done; 0 is nothing
    apart: Any  # bytes from where a result goes to its residual
    slope: Any
    most: Any


def finish_type(scalar):
    """The Numba type of `Finish`."""
    return types.Tuple((types.int64, types.int64, scalar, scalar))


def emit_other(builder, place, apart):
    """Where the residual lies of what goes to a place."""
    address = builder.add(builder.ptrtoint(place, INDEX), apart)
    return builder.inttoptr(address, place.type)


def emit_finish(builder, slots, places, finish, masks=()):
    """Finish the vectors in `slots`, which go to `places`: a list of them each, or with `masks` of parts."""
    done = [builder.and_(finish.mode, ir.Constant(INDEX, bit)) for bit in (ADDED, SLOPED, LEAST, MOST)]
    added, sloped, least, most = (builder.icmp_signed("!=", bit, ir.Constant(INDEX, 0)) for bit in done)
    vector = slots[0].type.pointee
    with builder.if_then(added):
        for number, (slot, place) in enumerate(zip(slots, places, strict=True)):
            value, parts = builder.load(slot), [(place, None)]
            if masks:
                parts = list(zip(place, masks[number], strict=True))
            other = ir.Constant(vector, [0.0] * vector.count)
            for where, mask in parts:
                where = emit_other(builder, where, finish.apart)
                if mask is None:
                    other = builder.load(where, align=1)
                else:
                    one = ir.Constant(LANE, 1)
                    other = emit_call(builder, "masked.load", vector, where, one, mask, other)
            builder.store(builder.fadd(value, other), slot)
    with builder.if_then(sloped):
        slope = emit_splat(builder, finish.slope, vector.count)
        for slot in slots:
            value = builder.load(slot)
            positive = builder.fcmp_ordered(">", value, ir.Constant(vector, [0.0] * vector.count))
            builder.store(builder.select(positive, value, builder.fmul(value, slope)), slot)
    zero = ir.Constant(vector, [0.0] * vector.count)
    for limited, order, bound in ((least, ">", zero), (most, "<", None)):
        with builder.if_then(limited):
            limit = bound or emit_splat(builder, finish.most, vector.count)
            for slot in slots:
                builder.store(emit_limit(order)(builder, builder.load(slot), limit), slot)


@intrinsic
def finished(typingctx, vector, place, at, count, finish):
    """The vector, which goes to place[at] and behind it, as a result: its first `count` lanes."""

    def emit(context, builder, sig, args):
        value, place, at, count, finish = args
        values = Finish(*cgutils.unpack_tuple(builder, finish))
        slot = cgutils.alloca_once_value(builder, value)
        where = emit_place(builder, place, at, vector.value)
        with builder.if_then(builder.icmp_signed("!=", values.mode, ir.Constant(INDEX, 0))):
            some = emit_first_lanes(builder, count, vector.lanes)
            emit_finish(builder, [slot], [[where]], values, [[some]])
        return builder.load(slot)

    return vector(vector, place, types.int64, types.int64, finish), emit


@intrinsic
def bytes_apart(typingctx, residual, y):
    """From the first element of y to that of the residual."""

    def emit(context, builder, sig, args):
        other, own = (
            builder.ptrtoint(context.make_array(kind)(context, builder, array).data, INDEX)
            for kind, array in zip(sig.args, args, strict=True)
        )
        return builder.sub(other, own)

    return types.int64(residual, y), emit
