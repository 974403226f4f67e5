"""A product of two 32-bit integers added to one of 64 bits, in one instruction.

`mad.wide.s32`: PTX ISA, section "Integer Arithmetic Instructions: mad". Of `place + int64(a) * int64(b)` in a
loop the compiler moves the extension of a constant `b` out of it, and keeps a product of 64 bits.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.cuda.extending import intrinsic

WORD, LONG = ir.IntType(32), ir.IntType(64)


@intrinsic
def add_product(context: Any, place: Any, a: Any, b: Any) -> Any:
    """add_product(place, a, b): place + a b, of an int64 and two int32."""
    if (place, a, b) != (types.int64, types.int32, types.int32):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(LONG, [LONG, WORD, WORD])
        text = ir.InlineAsm(kind, "mad.wide.s32 $0, $2, $3, $1;", "=l,l,r,r")
        return builder.call(text, arguments)

    return types.int64(place, a, b), generate
