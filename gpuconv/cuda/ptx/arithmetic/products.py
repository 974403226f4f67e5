"""Products added to sums: of floats, by a list that is known when the kernel is written; and of indices.

`fma.rn.f32`, `fma.rn.f64`: PTX ISA, section "Floating Point Instructions: fma". The same could be said by
loops over local arrays, but the compiler stops unrolling nested loops near 1000 operations, and an array that
is indexed by what is left of a loop does not stay in registers. So the products are emitted one by one, as
LLVM's `llvm.fma`, on places of the arrays that are constants.

`mad.wide.s32`: PTX ISA, section "Integer Arithmetic Instructions: mad". Of `place + int64(a) * int64(b)` in a
loop the compiler moves the extension of a constant `b` out of it, and keeps a product of 64 bits.
"""

from collections.abc import Callable, Sequence
from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types

WORD, LONG = ir.IntType(32), ir.IntType(64)


def add_products(triples: Sequence[tuple[int, int, int]]) -> Callable[..., Any]:
    """A function (sums, left, right) of `cuda.local.array`s: sums[i] += left[j] * right[k] for (i, j, k)."""

    @intrinsic
    def add(context: Any, sums: Any, left: Any, right: Any) -> Any:
        arrays = sums, left, right
        if not all(isinstance(each, types.Array) and each.dtype == sums.dtype for each in arrays):
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pairs = zip(signature.args, arguments, strict=True)
            bases = [context.make_array(kind)(context, builder, value).data for kind, value in pairs]

            def place(base: Any, index: int) -> Any:
                return builder.gep(base, [LONG(index)])

            for into, *factors in triples:
                values = [builder.load(place(base, i)) for base, i in zip(bases[1:], factors, strict=True)]
                target = place(bases[0], into)
                builder.store(builder.fma(*values, builder.load(target)), target)
            return context.get_dummy_value()

        return types.void(*arrays), generate

    return add


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
