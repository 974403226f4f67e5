"""The product of two slabs in shared memory by tensor cores, added to the sums that a thread keeps.

    total[i][j] += sum over t of a[t][i] * b[t][j]

`mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32`: PTX ISA, section "Warp Level Matrix
Multiply-Accumulate Instructions"; from sm_80 on. tf32 has the exponents of float32, and 11 significant bits
of its 24. One product of a warp is 16 x 8 sums of 8 taps; lane 4 g + t holds of its first factor the rows g
and g + 8 of taps t and t + 4, of its second the column g of the same taps, and of its result the columns 2 t
and 2 t + 1 of the rows g and g + 8.

Which of the warp's rows and columns those are is our choice. A thread loads 4 neighbours of a tap at once, so
the rows g and g + 8 of two products are the 4 neighbours from `first(g)` on, and the columns g of four
products are 4 neighbours likewise: no load is of fewer than 128 bits, and what a thread has of the result is
4 neighbours in both directions. With

    first(g) = 4 (g / 2) + 16 (g % 2)

of every 32 places the lanes of a row of results lie side by side, 16 places in all, and the 8 lanes of a
quarter of a warp meet all 32 banks once, where the taps of a slab lie 4 words modulo 32 beyond whole rows.

Two arithmetics. With `products` = 1 factors are rounded to tf32, as `cvt.rna.tf32.f32` does, and the tensor
core adds up. With 3

    x = high + low,   high = tf32(x),   low = x - high, exact, of 12 bits, of which the tensor core reads 11
    a b = a_high b_low + a_low b_high + a_high b_high + (a_low b_low, left out: 2^-22 of a b at most)

and 8 taps are added up from zero, the small products first, and their sum to that of the thread by an
addition that rounds to the nearest: inside of a tensor core sums are cut off, not rounded (Fasi, Higham,
Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ Computer Science 7, 2021; Ootomo and
Yokota, "Recovering single precision accuracy from Tensor Cores", IJHPCA 36, 2022), and what is cut off of a
long sum goes all one way.

A tf32 is a float32 whose lowest 13 bits are not read. PTX ISA leaves its layout open; but the compiler of
machine code makes `cvt.rna` of an addition and a mask on every architecture, and leaves the mask out before a
product, and CUTLASS relies on it (`include/cutlass/numeric_conversion.h`).
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types

WORD, LONG = ir.IntType(32), ir.IntType(64)
FLOAT = ir.FloatType()
SHARED = 3  # address space
QUAD = 4  # elements of one load
TAPS = 8  # of one product
SPAN = 32  # rows, or columns, that the lanes of a warp load at once
PRODUCT = (
    "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
    "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
)
HALF = 0x1000  # of the last bit of a tf32 in a float32's bits
ROUNDING = (  # add it to what is finite, without a copy into the registers that the product reads
    "{ .reg .f32 size; .reg .b32 finite; abs.f32 size, $1; set.lt.u32.f32 finite, size, 0f7F800000; "
    f"mad.lo.u32 $0, finite, {-HALF & 0xFFFFFFFF:#x}, $2; }}"
)
RESULT = ir.LiteralStructType([FLOAT] * 4)
Values = list[Any]


def make_tensor_product(rows: int, a_pitch: int, b_pitch: int, b_spans: int, products: int) -> Callable:
    """A function (total, a_first, b_first) for slabs of `rows` taps, `a_pitch` and `b_pitch` words long.

    A warp multiplies 32 by 32 `b_spans` places. `a_first` and `b_first` are the addresses in shared
    memory of the place first(g) of tap t. `total` is a local array of 4 x 8 b_spans sums: rows are 4
    places from first(g) on; columns 4 from 4 t on, and the same 16 further on.
    """

    def tensor_product(context: Any, total: Any, a_first: Any, b_first: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sums = context.make_array(total)(context, builder, arguments[0]).data
            columns = 2 * QUAD * b_spans
            places = [builder.gep(sums, [LONG(i)]) for i in range(QUAD * columns)]
            values = [builder.load(place) for place in places]
            for tap in range(0, rows, TAPS):
                for b_span in range(b_spans):
                    right = _quads(builder, arguments[2], b_pitch, tap, b_span, products)
                    left = _quads(builder, arguments[1], a_pitch, tap, 0, products)
                    for pair in range(2):
                        first = 2 * pair * columns + 2 * QUAD * b_span
                        _multiply(builder, values, first, columns, left, pair, right)
            for place, value in zip(places, values, strict=True):
                builder.store(value, place)
            return context.get_dummy_value()

        return types.void(total, types.uint32, types.uint32), generate

    return intrinsic(tensor_product)


def _quads(builder: Any, first: Any, pitch: int, tap: int, span: int, products: int) -> list[list[Values]]:
    """Of 4 places of the taps t and t + 4 behind `tap`: [high, or high and low][tap][place]."""
    parts: list[list[Values]] = [[], []]
    for row in (tap, tap + TAPS // 2):
        values = _loaded(builder, first, 4 * (row * pitch + SPAN * span))
        high = [_rounded(builder, value, products) for value in values]
        parts[0].append(high)
        if products > 1:
            pairs = zip(values, high, strict=True)
            low = [builder.fsub(value, builder.bitcast(part, FLOAT)) for value, part in pairs]
            parts[1].append([builder.bitcast(each, WORD) for each in low])
    return parts[: 1 + (products > 1)]


def _loaded(builder: Any, first: Any, place: int) -> Values:
    """The quad `place` bytes on; asked for again where it is needed again, as registers are few."""
    kind = ir.FunctionType(RESULT, [WORD])
    text = f"ld.shared.v4.f32 {{$0, $1, $2, $3}}, [$4+{place}];"
    found = builder.call(ir.InlineAsm(kind, text, "=f,=f,=f,=f,r,~{memory}", side_effect=True), [first])
    return [builder.extract_value(found, i) for i in range(QUAD)]


def _rounded(builder: Any, value: Any, products: int) -> Any:
    """The nearest tf32, of two equally near the one farther from zero: `cvt.rna.tf32.f32`, unrolled.

    Of three products, a NaN that the addition makes a zero is one in what is left.
    """
    bits = builder.bitcast(value, WORD)
    if products > 1:
        return builder.and_(builder.add(bits, WORD(HALF)), WORD(-2 * HALF & 0xFFFFFFFF))
    kind = ir.FunctionType(WORD, [FLOAT, WORD])
    return builder.call(ir.InlineAsm(kind, ROUNDING, "=r,f,r"), [value, bits])


def _multiply(
    builder: Any, values: Values, first: int, columns: int, left: list[list[Values]], pair: int,
    right: list[list[Values]],
) -> None:  # fmt: skip
    """Add the products of 16 rows and 4 times 8 columns to `values`, from the one at `first` on."""
    a = [[part[tap][2 * pair + i] for tap in range(2) for i in range(2)] for part in left]
    b = [[[part[tap][j] for tap in range(2)] for j in range(QUAD)] for part in right]
    places = [[first + i * columns + e * QUAD + j for i in range(2) for e in range(2)] for j in range(QUAD)]
    totals = [[values[place] for place in found] for found in places]
    if len(left) == 1:
        totals = [_product(builder, a[0], b[0][j], totals[j]) for j in range(QUAD)]
    else:
        sums = [[FLOAT(0.0)] * 4] * QUAD
        for a_part, b_part in ((0, 1), (1, 0), (0, 0)):
            sums = [_product(builder, a[a_part], b[b_part][j], sums[j]) for j in range(QUAD)]
        totals = [
            [builder.fadd(total, part) for total, part in zip(*both, strict=True)]
            for both in zip(totals, sums, strict=True)
        ]
    for found, results in zip(places, totals, strict=True):
        for place, result in zip(found, results, strict=True):
            values[place] = result


def _product(builder: Any, a: Values, b: Values, c: Values) -> Values:
    kind = ir.FunctionType(RESULT, [WORD] * 6 + [FLOAT] * 4)
    constraints = ",".join(["=f"] * 4 + ["r"] * 6 + ["f"] * 4)
    found = builder.call(ir.InlineAsm(kind, PRODUCT, constraints, side_effect=True), [*a, *b, *c])
    return [builder.extract_value(found, i) for i in range(4)]
