"""The inputs of a tile from global memory into registers, zeros where the tile hangs over the image.

`@p ld.global.nc.f32`: PTX ISA, sections "Predicated Execution" and "Data Movement and Conversion
Instructions: ld.global.nc". One word has a bit for each element of the tile, which is tested in the same
piece of PTX that loads: a condition that the compiler has seen before becomes a shifted number first. Steps
along a row are immediates. What is read must not be written while the kernel runs.
"""

from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types

WORD, LONG, FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
GLOBAL = 1  # address space
SIZE = 4  # elements of a row, rows


@intrinsic
def load_tile(context: Any, d: Any, source: Any, step: Any, inside: Any) -> Any:
    """load_tile(d, source, step, inside): fill the local array `d` with 4 x 4 elements.

    Bit 4 r + s of `inside` (uint32) tells whether `source[r step + s]` is there; `step` is int64.
    """
    if source != types.CPointer(types.float32):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into = context.make_array(d)(context, builder, arguments[0]).data
        _, base, along_h, word = arguments
        for r in range(SIZE):
            row = builder.gep(base, [builder.mul(along_h, LONG(r))])
            address = builder.ptrtoint(builder.addrspacecast(row, ir.PointerType(FLOAT, GLOBAL)), LONG)
            for s in range(SIZE):
                value = _load(builder, address, 4 * s, word, SIZE * r + s)
                builder.store(value, builder.gep(into, [LONG(SIZE * r + s)]))
        return context.get_dummy_value()

    return types.void(d, source, types.int64, types.uint32), generate


def _load(builder: Any, address: Any, offset: int, word: Any, bit: int) -> Any:
    """The element `offset` bytes behind an address, if the bit is set."""
    text = (
        f"{{ .reg .pred p; .reg .b32 t; and.b32 t, $2, {1 << bit}; setp.ne.b32 p, t, 0; mov.b32 $0, 0; "
        f"@p ld.global.nc.f32 $0, [$1+{offset}]; }}"
    )
    kind = ir.FunctionType(FLOAT, [LONG, WORD])
    return builder.call(ir.InlineAsm(kind, text, "=&f,l,r", side_effect=False), [address, word])
