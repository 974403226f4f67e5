"""Numbers of 16 bits, two in a word of 32: float16 (binary16) and bfloat16 (the upper half of a float32).

    unpair_float16      cvt.f32.f16, twice
    pair_float16        cvt.rn.f16x2.f32; before sm_80 cvt.rn.f16.f32, twice
    unpair_bfloat16     a shift, and a mask
    pair_bfloat16       cvt.rn.bf16x2.f32; before sm_80, which has no such format, in integers

PTX ISA, section "Data Movement and Conversion Instructions: cvt". To float32 they are exact; from it they
round to the nearest, of two equally near to the even one, overflow to infinity, and make any NaN one without
a payload. The first of a pair is the lower half of the word, as in memory. `words_at` lets two neighbours in
memory be loaded and stored as such a word.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types
from gpuconv.cuda.ptx.assembly import AMPERE, compiling_for

FLOAT, WORD = ir.FloatType(), ir.IntType(32)


def _assembly(text: str, result: Any, constraints: str) -> Callable[..., Any]:
    """emit(builder, arguments): inline PTX without side effects."""

    def emit(builder: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(result, [each.type for each in arguments])
        return builder.call(ir.InlineAsm(kind, text, constraints, side_effect=False), arguments)

    return emit


_split_float16 = _assembly(
    "{ .reg .b16 l, h; mov.b32 {l, h}, $2; cvt.f32.f16 $0, l; cvt.f32.f16 $1, h; }",
    ir.LiteralStructType([FLOAT, FLOAT]), "=&f,=f,r",
)  # fmt: skip
_join_float16 = _assembly("cvt.rn.f16x2.f32 $0, $2, $1;", WORD, "=r,f,f")
_join_bfloat16 = _assembly("cvt.rn.bf16x2.f32 $0, $2, $1;", WORD, "=r,f,f")
_join_float16_singly = _assembly(
    "{ .reg .b16 l, h; cvt.rn.f16.f32 l, $1; cvt.rn.f16.f32 h, $2; mov.b32 $0, {l, h}; }", WORD, "=r,f,f"
)


@intrinsic
def unpair_float16(context: Any, word: Any) -> Any:
    """unpair_float16(word): the two float16 in a uint32, as float32."""
    if word != types.uint32:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        halves = _split_float16(builder, arguments)
        parts = [builder.extract_value(halves, i) for i in range(2)]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(types.float32, 2)(word), generate


@intrinsic
def pair_float16(context: Any, low: Any, high: Any) -> Any:
    """pair_float16(low, high): two float32 rounded to float16, in a uint32."""
    if (low, high) != (types.float32, types.float32):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return (_join_float16 if compiling_for(AMPERE) else _join_float16_singly)(builder, arguments)

    return types.uint32(low, high), generate


@intrinsic
def unpair_bfloat16(context: Any, word: Any) -> Any:
    """unpair_bfloat16(word): the two bfloat16 in a uint32, as float32."""
    if word != types.uint32:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (word,) = arguments
        halves = builder.shl(word, WORD(16)), builder.and_(word, WORD(0xFFFF0000))
        parts = [builder.bitcast(half, FLOAT) for half in halves]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(types.float32, 2)(word), generate


@intrinsic
def pair_bfloat16(context: Any, low: Any, high: Any) -> Any:
    """pair_bfloat16(low, high): two float32 rounded to bfloat16, in a uint32."""
    if (low, high) != (types.float32, types.float32):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if compiling_for(AMPERE):
            return _join_bfloat16(builder, arguments)
        first, second = (_rounded_to_bfloat16(builder, value) for value in arguments)
        return builder.or_(builder.lshr(first, WORD(16)), builder.and_(second, WORD(0xFFFF0000)))

    return types.uint32(low, high), generate


def _rounded_to_bfloat16(builder: Any, value: Any) -> Any:
    """Bits whose upper half is the bfloat16: half of its last place is added, less one bit if it is even."""
    bits = builder.bitcast(value, WORD)
    last = builder.and_(builder.lshr(bits, WORD(16)), WORD(1))
    rounded = builder.add(bits, builder.add(last, WORD(0x7FFF)))
    is_nan = builder.fcmp_unordered("uno", value, value)
    return builder.select(is_nan, WORD(0x7FFF0000), rounded)


@intrinsic
def words_at(context: Any, pointer: Any, place: Any) -> Any:
    """words_at(pointer, place): words of two from element `place` on, a multiple of their size in memory."""
    if pointer != types.CPointer(types.uint16) or place != types.int64:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        element = builder.gep(arguments[0], [arguments[1]])
        return builder.bitcast(element, ir.PointerType(WORD, element.type.addrspace))

    return types.CPointer(types.uint32)(pointer, place), generate
