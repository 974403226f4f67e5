"""The greater of two numbers, a NaN counting as the greatest.

`max.NaN.f32`: PTX ISA, section "Floating Point Instructions: max". It needs sm_80; for sm_75 and for float64,
which has no such form, it is written as comparisons.
"""

from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types
from gpuconv.cuda.ptx.assembly import AMPERE, compiling_for


@intrinsic
def maximum(context: Any, a: Any, b: Any) -> Any:
    """maximum(a, b): NaN if one of them is; of -0 and +0 either."""
    if a not in (types.float32, types.float64) or a != b:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if a == types.float32 and compiling_for(AMPERE):
            kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 2)
            return builder.call(ir.InlineAsm(kind, "max.NaN.f32 $0, $1, $2;", "=f,f,f"), arguments)
        first, second = arguments
        greater = builder.fcmp_ordered(">", second, first)
        unordered = builder.fcmp_unordered("uno", second, second)
        return builder.select(builder.or_(greater, unordered), second, first)

    return a(a, b), generate
