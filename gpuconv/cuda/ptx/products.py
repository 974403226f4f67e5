"""Products added to sums in registers, a list of them that is known when the kernel is written.

`fma.rn.f32`, `fma.rn.f64`: PTX ISA, section "Floating Point Instructions: fma". The same could be said by
loops over local arrays, but the compiler stops unrolling nested loops near 1000 operations, and an array that
is indexed by what is left of a loop does not stay in registers. So the products are emitted one by one, as
LLVM's `llvm.fma`, on places of the arrays that are constants.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.cuda.extending import intrinsic

INDEX = ir.IntType(64)


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
                return builder.gep(base, [INDEX(index)])

            for into, *factors in triples:
                values = [builder.load(place(base, i)) for base, i in zip(bases[1:], factors, strict=True)]
                target = place(bases[0], into)
                builder.store(builder.fma(*values, builder.load(target)), target)
            return context.get_dummy_value()

        return types.void(*arrays), generate

    return add
