"""Loads from and stores to shared memory by address: 32 bits instead of the 64 of a pointer.

`ld.shared.v4.f32`, `st.shared.v2.f64` and so on: PTX ISA, sections "Data Movement and Conversion
Instructions: ld" and "... : st". Addresses are uint32, in bytes, from `shared_address` of `async_copy`; a
thread can add to them what would cost twice as much in 64 bits. The address of two or four elements must be
a multiple of their size; four elements of 8 bytes are one access too many and refused. A store takes place
where its condition holds, without a branch.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.cuda.extending import intrinsic

LETTERS = {types.float32: "f", types.float64: "d"}  # constraints of inline PTX
VECTORS = {1: "", 2: ".v2", 4: ".v4"}
WORD = ir.IntType(32)


def _operands(first: int, count: int) -> str:
    names = ", ".join(f"${first + i}" for i in range(count))
    return f"{{{names}}}" if count > 1 else names


@intrinsic
def get_shared(context: Any, count: Any, like: Any, address: Any) -> Any:
    """get_shared(count, like, address): a tuple of `count` elements, a constant, of the type of `like`."""
    if (
        not isinstance(count, types.IntegerLiteral)
        or like not in LETTERS
        or count.literal_value * like.bitwidth > 128
    ):
        return None
    number, letter = count.literal_value, LETTERS[like]
    text = f"ld.shared{VECTORS[number]}.f{like.bitwidth} {_operands(0, number)}, [${number}];"
    constraints = ",".join([*[f"={letter}"] * number, "r", "~{memory}"])

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        element = context.get_value_type(like)
        result = element if number == 1 else ir.LiteralStructType([element] * number)
        kind = ir.FunctionType(result, [WORD])
        found = builder.call(ir.InlineAsm(kind, text, constraints, side_effect=True), [arguments[2]])
        parts = [found] if number == 1 else [builder.extract_value(found, i) for i in range(number)]
        return context.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(like, number)(count, like, types.uint32), generate


@intrinsic
def put_shared(context: Any, condition: Any, address: Any, values: Any) -> Any:
    """put_shared(condition, address, values): a tuple of one, two or four elements."""
    if not isinstance(values, types.UniTuple) or values.dtype not in LETTERS:
        return None
    kind = values.dtype
    if values.count * kind.bitwidth > 128:
        return None
    text = (
        f"{{ .reg .pred p; setp.ne.b32 p, $1, 0; "
        f"@p st.shared{VECTORS[values.count]}.f{kind.bitwidth} [$0], {_operands(2, values.count)}; }}"
    )
    constraints = ",".join(["r", "r", *[LETTERS[kind]] * values.count, "~{memory}"])

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where, place, given = arguments
        parts = [builder.extract_value(given, i) for i in range(values.count)]
        operands = [place, builder.zext(where, WORD), *parts]
        function = ir.FunctionType(ir.VoidType(), [each.type for each in operands])
        builder.call(ir.InlineAsm(function, text, constraints, side_effect=True), operands)
        return context.get_dummy_value()

    return types.void(types.boolean, types.uint32, values), generate
