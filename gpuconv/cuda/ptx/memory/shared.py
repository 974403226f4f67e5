"""Loads from and stores to shared memory by address: 32 bits instead of the 64 of a pointer.

`ld.shared.v4.f32`, `st.shared.v2.f64` and so on: PTX ISA, sections "Data Movement and Conversion
Instructions: ld" and "... : st". Addresses are uint32, in bytes, from `shared_address` of `copies`; a thread
can add to them what would cost twice as much in 64 bits, and one that it keeps in a register is all that an
access needs: of an array and an index the compiler works it out anew wherever registers are short, in every
turn of a loop. The address of two or four elements must be a multiple of their size; four elements of 8 bytes
are one access too many and refused. A store takes place where its condition holds, without a branch.
"""

from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types
from gpuconv.cuda.ptx.assembly import LETTERS, VECTORS, operands

FLOATS = (types.float32, types.float64)
WORD, LONG = ir.IntType(32), ir.IntType(64)
SHARED = 3  # address space


@intrinsic
def get_shared(context: Any, count: Any, like: Any, address: Any) -> Any:
    """get_shared(count, like, address): a tuple of `count` elements, a constant, of the type of `like`."""
    if (
        not isinstance(count, types.IntegerLiteral)
        or like not in FLOATS
        or count.literal_value * like.bitwidth > 128
    ):
        return None
    number, letter = count.literal_value, LETTERS[like]
    text = f"ld.shared{VECTORS[number]}.f{like.bitwidth} {operands(0, number)}, [${number}];"
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
    if not isinstance(values, types.UniTuple) or values.dtype not in FLOATS:
        return None
    kind = values.dtype
    if values.count * kind.bitwidth > 128:
        return None
    text = (
        f"{{ .reg .pred p; setp.ne.b32 p, $1, 0; "
        f"@p st.shared{VECTORS[values.count]}.f{kind.bitwidth} [$0], {operands(2, values.count)}; }}"
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


@intrinsic
def shared_words(context: Any, address: Any, index: Any) -> Any:
    """shared_words(address, index): the 4 uint32 from the word `index` on, counted from `address`.

    The address is a multiple of 16 bytes, `index` of 4; where the compiler knows it, it costs no
    instruction.
    """
    if address != types.uint32 or not isinstance(index, types.Integer):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, place = arguments
        base = builder.inttoptr(first, ir.PointerType(WORD, SHARED))
        if place.type.width < 64:
            place = builder.sext(place, LONG)
        element = builder.gep(base, [place])
        vector = builder.bitcast(element, ir.PointerType(ir.VectorType(WORD, 4), SHARED))
        loaded = builder.load(vector, align=16)
        values = [builder.extract_element(loaded, WORD(i)) for i in range(4)]
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(types.uint32, 4)(address, index), generate
