"""Loads from and stores to global memory that take place only where a condition holds, without a branch.

`@p ld.global.nc.v4.b32`, `@p st.global.v2.b32` and so on: PTX ISA, sections "Predicated Execution", "Data
Movement and Conversion Instructions: ld.global.nc" and "... : st". An `if` around one load makes the compiler
branch and meet again, which in a loop with shuffles costs it more instructions than the arithmetic; these
leave one straight line. A load whose condition is false gives its last argument. Loads are `.nc`: what they
read must not be written while the kernel runs, so the compiler may move them ahead of stores.

`source` and `target` are a pointer that the kernel got as an argument; `index` counts elements and is an
integer of any type. Of two or four elements the first must lie on a multiple of their size in bytes; four
elements of 8 bytes are one access too many and refused.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types
from gpuconv.cuda.ptx.assembly import LETTERS, VECTORS, operands

GLOBAL = 1  # address space


def _address(context: Any, builder: Any, kind: Any, base: Any, index_kind: Any, index: Any) -> Any:
    if index.type.width < 64:
        extend = builder.sext if index_kind.signed else builder.zext
        index = extend(index, ir.IntType(64))
    element = context.get_data_type(kind.dtype)
    pointer = builder.gep(builder.bitcast(base, element.as_pointer()), [index])
    return builder.ptrtoint(builder.addrspacecast(pointer, element.as_pointer(GLOBAL)), ir.IntType(64))


def _checked(condition: Any, pointer: Any, index: Any, count: int) -> bool:
    return (
        isinstance(condition, types.Boolean) and isinstance(index, types.Integer)
        and isinstance(pointer, types.CPointer) and pointer.dtype in LETTERS
        and pointer.dtype.bitwidth * count <= 128
    )  # fmt: skip


def _load(count: int, name: str) -> Callable[..., Any]:
    """The intrinsic for `count` elements, each of them `otherwise` where the condition is false."""

    def load(context: Any, condition: Any, source: Any, index: Any, otherwise: Any) -> Any:
        if not _checked(condition, source, index, count):
            return None
        bits, letter = source.dtype.bitwidth, LETTERS[source.dtype]
        values = " ".join(f"mov.b{bits} ${i}, ${count + 2};" for i in range(count))
        text = (
            f"{{ .reg .pred p; setp.ne.b32 p, ${count + 1}, 0; {values} "
            f"@p ld.global.nc{VECTORS[count]}.b{bits} {operands(0, count)}, [${count}]; }}"
        )
        constraints = ",".join([*[f"=&{letter}"] * count, "l", "r", letter])

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address = _address(context, builder, source, arguments[1], index, arguments[2])
            given = [address, builder.zext(arguments[0], ir.IntType(32)), arguments[3]]
            element = context.get_data_type(source.dtype)
            result = element if count == 1 else ir.LiteralStructType([element] * count)
            kind = ir.FunctionType(result, [each.type for each in given])
            found = builder.call(ir.InlineAsm(kind, text, constraints, side_effect=False), given)
            if count == 1:
                return found
            parts = [builder.extract_value(found, i) for i in range(count)]
            return context.make_tuple(builder, signature.return_type, parts)

        result = source.dtype if count == 1 else types.UniTuple(source.dtype, count)
        return result(condition, source, index, source.dtype), generate

    load.__name__ = name
    load.__doc__ = f"{name}(condition, source, index, otherwise): {count} elements from `index` on."
    return intrinsic(load)


def _generate_store(count: int) -> Callable[..., Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, target, index = signature.args[:3]
        bits, letter = target.dtype.bitwidth, LETTERS[target.dtype]
        text = (
            f"{{ .reg .pred p; setp.ne.b32 p, $1, 0; "
            f"@p st.global{VECTORS[count]}.b{bits} [$0], {operands(2, count)}; }}"
        )
        address = _address(context, builder, target, arguments[1], index, arguments[2])
        where = builder.zext(arguments[0], ir.IntType(32))
        values = [address, where, *arguments[3:]]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        constraints = ",".join(["l", "r", *[letter] * count])
        builder.call(ir.InlineAsm(kind, text, constraints, side_effect=True), values)
        return context.get_dummy_value()

    return generate


@intrinsic
def store_if(context: Any, condition: Any, target: Any, index: Any, a: Any) -> Any:
    """store_if(condition, target, index, a): one element."""
    if not _checked(condition, target, index, 1):
        return None
    return types.void(condition, target, index, target.dtype), _generate_store(1)


@intrinsic
def store2_if(context: Any, condition: Any, target: Any, index: Any, a: Any, b: Any) -> Any:
    """store2_if(condition, target, index, a, b): two elements from `index` on."""
    if not _checked(condition, target, index, 2):
        return None
    return types.void(condition, target, index, *[target.dtype] * 2), _generate_store(2)


@intrinsic
def store4_if(
    context: Any, condition: Any, target: Any, index: Any, a: Any, b: Any, c: Any, d: Any
) -> Any:  # fmt: skip
    """store4_if(condition, target, index, a, b, c, d): four elements from `index` on."""
    if not _checked(condition, target, index, 4):
        return None
    return types.void(condition, target, index, *[target.dtype] * 4), _generate_store(4)


load_if = _load(1, "load_if")
load2_if = _load(2, "load2_if")
load4_if = _load(4, "load4_if")
