"""Where a thread is, read anew: what a kernel works out of it in the end takes no registers until then.

`mov.u32` from `%ctaid.x` and `%tid.x`: PTX ISA, section "Special Registers". Of `cuda.blockIdx` the compiler
keeps what it has worked out once, through the main loop.
"""

from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types

NAMES = "%ctaid.x", "%tid.x"


@intrinsic
def place_again(context: Any) -> Any:
    """place_again(): (number of the block, number of the thread), as uint32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        texts = [f"mov.u32 $0, {name};" for name in NAMES]
        found = [builder.call(ir.InlineAsm(kind, text, "=r", side_effect=True), []) for text in texts]
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(types.uint32, 2)(), generate
