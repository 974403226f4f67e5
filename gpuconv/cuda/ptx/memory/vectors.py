"""Loads and stores of two and four elements at once, from global and from shared memory.

`ld.global.v4.f32`, `st.shared.v2.f32` and so on: PTX ISA, sections "Data Movement and Conversion
Instructions: ld" and "... : st", and "Vectors" for the rule that the address is a multiple of the whole
vector's size. They are emitted as LLVM loads and stores of a vector with that alignment, so that the compiler
sees through them and picks the address space itself. Four elements of 4 bytes are one access of 128 bits;
four of 8 bytes become two of them, and four of 2 bytes are one of 64 bits.

`source` and `target` are a pointer that the kernel got as an argument, or an array in shared memory; `index`
counts elements and is an integer of any type. That `index` elements from the start is a multiple of 2 or 4
elements in memory is the caller's word: the compiler is told, and nothing checks it on a GPU.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types

INDEX = ir.IntType(32)  # of an element within a vector


def _vector_pointer(
    context: Any, builder: Any, signature: Any, arguments: Any, count: int
) -> tuple[Any, int]:  # fmt: skip
    """The address of `count` elements as a pointer to one vector, and the bytes that it is aligned to."""
    kind, base = signature.args[0], arguments[0]
    if isinstance(kind, types.Array):
        base = context.make_array(kind)(context, builder, base).data
    index_kind, index = signature.args[1], arguments[1]
    if index.type.width < 64:
        extend = builder.sext if index_kind.signed else builder.zext
        index = extend(index, ir.IntType(64))
    element = context.get_data_type(kind.dtype)
    vector = ir.VectorType(element, count)
    address = builder.bitcast(builder.gep(base, [index]), ir.PointerType(vector, base.type.addrspace))
    return address, count * kind.dtype.bitwidth // 8


def _checked(kind: Any, index: Any) -> bool:
    return isinstance(kind, types.CPointer | types.Array) and isinstance(index, types.Integer)


def _load(count: int, name: str) -> Callable[..., Any]:
    def load(context: Any, source: Any, index: Any) -> Any:
        if not _checked(source, index):
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address, size = _vector_pointer(context, builder, signature, arguments, count)
            vector = builder.load(address, align=size)
            values = [builder.extract_element(vector, INDEX(i)) for i in range(count)]
            return context.make_tuple(builder, signature.return_type, values)

        return types.UniTuple(source.dtype, count)(source, index), generate

    load.__name__ = name
    load.__doc__ = f"{name}(source, index): a tuple of the {count} elements from `index` on."
    return intrinsic(load)


def _generate_store(count: int) -> Callable[..., Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, size = _vector_pointer(context, builder, signature, arguments, count)
        vector = ir.Constant(address.type.pointee, ir.Undefined)
        for i, value in enumerate(arguments[2:]):
            vector = builder.insert_element(vector, value, INDEX(i))
        builder.store(vector, address, align=size)
        return context.get_dummy_value()

    return generate


@intrinsic
def store2(context: Any, target: Any, index: Any, a: Any, b: Any) -> Any:
    """store2(target, index, a, b): two elements from `index` on."""
    if not _checked(target, index):
        return None
    return types.void(target, index, *[target.dtype] * 2), _generate_store(2)


@intrinsic
def store4(context: Any, target: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """store4(target, index, a, b, c, d): four elements from `index` on."""
    if not _checked(target, index):
        return None
    return types.void(target, index, *[target.dtype] * 4), _generate_store(4)


load2 = _load(2, "load2")
load4 = _load(4, "load4")
