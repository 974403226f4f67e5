"""Four words from an address in shared memory, of those that `async_copy.shared_address` gives.

`ld.shared.v4.u32`: PTX ISA, section "Data Movement and Conversion Instructions: ld". An address of 32 bits
that a kernel keeps in a register is all that the access needs; of an array and an index the compiler works it
out anew wherever registers are short, in every turn of a loop.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.cuda.extending import intrinsic

WORD, LONG = ir.IntType(32), ir.IntType(64)
SHARED = 3  # address space


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
