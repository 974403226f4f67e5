"""The reciprocal of a number, nearly.

`rcp.approx.f32`: PTX ISA, section "Floating Point Instructions: rcp"; its error is at most one unit in the
last place. `gpuconv.cuda.device.division` makes right quotients of it.
"""

from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types


@intrinsic
def near_reciprocal(context: Any, a: Any) -> Any:
    """near_reciprocal(a): 1 / a in float32, to one unit in the last place."""
    if a != types.float32:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()])
        return builder.call(ir.InlineAsm(kind, "rcp.approx.f32 $0, $1;", "=f,f"), arguments)

    return a(a), generate
