"""Copies from global to shared memory that pass by the registers and go on while the thread computes.

`cp.async`, `cp.async.commit_group` and `cp.async.wait_group`: PTX ISA, section "Data Movement and Conversion
Instructions: Non-bulk copy". A copy belongs to the group that its thread commits next; after `wait_group(n)`
all but the thread's n latest groups have arrived, and after a barrier those of the other threads too.

`copy_async(count, target, source, place, bytes)` copies `count` elements, 4, 8 or 16 bytes in all, from
`source[place]` to the address `target` in shared memory (see `shared_address`), both aligned to the copy's
size. Only the first `bytes` bytes, whole elements, are read, and the rest becomes zero; with 0, `source` may
point anywhere. Sixteen bytes pass by the L1 cache (`.cg`), fewer have to go through it (`.ca`).

Before sm_80 there is no such instruction: there the copy is a load and a store of each element, done when it
returns, and groups mean nothing.
"""

from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types
from gpuconv.cuda.ptx.assembly import AMPERE, compiling_for

WORD, LONG = ir.IntType(32), ir.IntType(64)


@intrinsic
def shared_address(context: Any, array: Any, index: Any) -> Any:
    """shared_address(array, index): where an element lies in shared memory, in bytes, as uint32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        element = builder.gep(data, [builder.zext(arguments[1], LONG)])
        return builder.ptrtoint(builder.addrspacecast(element, ir.PointerType(element.type.pointee, 3)), WORD)

    return types.uint32(array, types.uint32), generate


@intrinsic
def copy_async(context: Any, count: Any, target: Any, source: Any, place: Any, bytes: Any) -> Any:
    """copy_async(count, target, source, place, bytes); `count` is a constant."""
    if not isinstance(count, types.IntegerLiteral) or not isinstance(source, types.CPointer):
        return None
    elements = count.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, to, base, index, amount = arguments
        if index.type.width < 64:
            index = builder.sext(index, LONG) if place.signed else builder.zext(index, LONG)
        come_from = builder.gep(base, [index])
        size = source.dtype.bitwidth // 8
        if compiling_for(AMPERE):
            _emit_copy(builder, elements * size, to, come_from, amount)
        else:
            emit_elements(builder, elements, size, to, come_from, amount)
        return context.get_dummy_value()

    return types.void(count, types.uint32, source, place, types.uint32), generate


@intrinsic
def commit_group(context: Any) -> Any:
    """commit_group(): what the thread has copied since the last one is a group."""
    return types.void(), lambda context, builder, signature, arguments: _emit_group(
        context, builder, "cp.async.commit_group;"
    )


@intrinsic
def wait_group(context: Any, pending: Any) -> Any:
    """wait_group(pending): wait for all of the thread's groups but the latest `pending`, a constant."""
    if not isinstance(pending, types.IntegerLiteral):
        return None
    text = f"cp.async.wait_group {pending.literal_value};"
    return types.void(pending), lambda context, builder, signature, arguments: _emit_group(
        context, builder, text
    )


@intrinsic
def element_pointer(context: Any, base: Any, place: Any) -> Any:
    """element_pointer(base, place): the pointer `place` elements on, kept as one 64-bit address."""
    if not isinstance(base, types.CPointer):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return base(base, types.int64), generate


def _emit_copy(builder: Any, size: int, to: Any, come_from: Any, amount: Any) -> None:
    cache = "cg" if size == 16 else "ca"
    text = f"cp.async.{cache}.shared.global [$0], [$1], {size}, $2;"
    kind = ir.FunctionType(ir.VoidType(), [WORD, LONG, WORD])
    assembly = ir.InlineAsm(kind, text, "r,l,r,~{memory}", side_effect=True)
    builder.call(assembly, [to, builder.ptrtoint(come_from, LONG), amount])


def emit_elements(builder: Any, elements: int, size: int, to: Any, come_from: Any, amount: Any) -> None:
    element = come_from.type.pointee
    shared = builder.inttoptr(to, ir.PointerType(element, 3))
    zero = ir.Constant(element, None)
    for i in range(elements):
        before = builder.block
        with builder.if_then(builder.icmp_unsigned(">=", amount, WORD((i + 1) * size))):
            value = builder.load(builder.gep(come_from, [LONG(i)]))
            inside = builder.block
        chosen = builder.phi(element)
        chosen.add_incoming(zero, before)
        chosen.add_incoming(value, inside)
        builder.store(chosen, builder.gep(shared, [LONG(i)]))


def _emit_group(context: Any, builder: Any, text: str) -> Any:
    if compiling_for(AMPERE):
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(ir.InlineAsm(kind, text, "~{memory}", side_effect=True), [])
    return context.get_dummy_value()
