"""The greater of two numbers, a NaN counting as the greatest.

`max.NaN.f32`: PTX ISA, section "Floating Point Instructions: max". It needs sm_80; for sm_75 and for float64,
which has no such form, it is written as comparisons. They keep the first of two zeros, the instruction +0.
"""

from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types
from gpuconv.cuda.ptx.assembly import AMPERE, compiling_for


@intrinsic
def maximum(context: Any, a: Any, b: Any) -> Any:
    """maximum(a, b) of float32: NaN if one of them is; of -0 and +0 either."""
    if a != types.float32 or a != b:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not compiling_for(AMPERE):
            return _first_maximum(builder, *arguments)
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 2)
        return builder.call(ir.InlineAsm(kind, "max.NaN.f32 $0, $1, $2;", "=f,f,f"), arguments)

    return a(a, b), generate


@intrinsic
def first_maximum(context: Any, a: Any, b: Any) -> Any:
    """first_maximum(a, b): b if it is greater, or a NaN, else a."""
    if a not in (types.float32, types.float64) or a != b:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _first_maximum(builder, *arguments)

    return a(a, b), generate


def _first_maximum(builder: Any, a: Any, b: Any) -> Any:
    greater = builder.fcmp_ordered(">", b, a)
    unordered = builder.fcmp_unordered("uno", b, b)
    return builder.select(builder.or_(greater, unordered), b, a)
