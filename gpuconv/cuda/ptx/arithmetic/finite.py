"""Which rows and columns of the sums in a thread's registers hold one that is not finite.

A sum times 0 is 0, or NaN where it is not finite, so that sums of such products tell: `fma.rn.f32`, PTX ISA,
section "Floating Point Instructions: fma". A loop over so many registers the compiler does not unroll, and
would keep them in memory.
"""

from collections.abc import Callable, Sequence
from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types

WORD, LONG = ir.IntType(32), ir.IntType(64)
ZERO = ir.FloatType()(0.0)
CHAINS = 4  # that do not wait for each other


def make_not_finite(rows: int, columns: int) -> Callable[..., Any]:
    """A function of a local array of rows x columns float32: a bit for each row, and from bit `rows` on for
    each column, that holds a number that is not finite; 0 where there is none."""

    @intrinsic
    def not_finite(context: Any, total: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sums = context.make_array(total)(context, builder, arguments[0]).data
            values = [builder.load(builder.gep(sums, [LONG(i)])) for i in range(rows * columns)]
            some = [_is_any(builder, values[i::CHAINS]) for i in range(CHAINS)]
            before = builder.block
            with builder.if_then(builder.or_(builder.or_(*some[:2]), builder.or_(*some[2:])), likely=False):
                lines = [values[i * columns : (i + 1) * columns] for i in range(rows)]
                lines += [values[j::columns] for j in range(columns)]
                bits = WORD(0)
                for i, line in enumerate(lines):
                    bits = builder.or_(bits, builder.shl(builder.zext(_is_any(builder, line), WORD), WORD(i)))
                inside = builder.block
            found = builder.phi(WORD)
            found.add_incoming(WORD(0), before)
            found.add_incoming(bits, inside)
            return found

        return types.uint32(total), generate

    return not_finite


def _is_any(builder: Any, values: Sequence[Any]) -> Any:
    """Whether any is not finite."""
    total: Any = ZERO
    for value in values:
        total = builder.fma(value, ZERO, total)
    return builder.fcmp_unordered("uno", total, total)
