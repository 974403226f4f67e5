"""A run of global memory into shared memory, by all threads of a block, past the registers.

`cp.async.cg.shared.global`: PTX ISA, section "Data Movement and Conversion Instructions: Non-bulk copy"; see
`asynchronous.py` for groups and for what becomes of it before sm_80. A thread makes several copies of 16
bytes, with the same step on both sides. Their places are immediates, which reach 2048 bytes from a pointer:
beyond that, as from `copy_async`, the compiler makes an addition of 64 bits for each.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types
from gpuconv.cuda.ptx.assembly import AMPERE, compiling_for
from gpuconv.cuda.ptx.copies.asynchronous import LONG, WORD, emit_elements

BYTES = 16


def make_run_copy(copies: int, step: int) -> Callable[..., None]:
    """A function (target, source, bytes): `copies` times 16 bytes, every `step` bytes.

    `target` is the address of the first in shared memory, `source` points to the middle one, number
    copies // 2, both multiples of 16 bytes. `bytes` is 16, or 0: then nothing is read and zeros are written.
    """

    def run_copy(context: Any, target: Any, source: Any, bytes: Any) -> Any:
        if not isinstance(source, types.CPointer):
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            to, come_from, amount = arguments
            size = source.dtype.bitwidth // 8
            address = builder.ptrtoint(come_from, LONG)
            for place in range(0, copies * step, step):
                source_place = place - copies // 2 * step
                if compiling_for(AMPERE):
                    text = f"cp.async.cg.shared.global [$0+{place}], [$1+{source_place}], {BYTES}, $2;"
                    kind = ir.FunctionType(ir.VoidType(), [WORD, LONG, WORD])
                    assembly = ir.InlineAsm(kind, text, "r,l,r,~{memory}", side_effect=True)
                    builder.call(assembly, [to, address, amount])
                else:
                    element = builder.gep(come_from, [LONG(source_place // size)])
                    there = builder.add(to, WORD(place))
                    emit_elements(builder, BYTES // size, size, there, element, amount)
            return context.get_dummy_value()

        return types.void(types.uint32, source, types.uint32), generate

    return intrinsic(run_copy)
