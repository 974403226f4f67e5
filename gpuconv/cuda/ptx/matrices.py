"""The product of two slabs in shared memory by tensor cores, added to sums that a warp keeps in registers.

    total[i][j] += sum over the bytes of depth t of a[i][t] * b[j][t]

`ldmatrix` and `mma.sync`: PTX ISA, sections "Warp Level Matrix Load Instruction: ldmatrix" and "Matrix
multiply-accumulate operation using mma instruction". A row of a slab is the depth of one output channel, or
of one pixel: 64 bytes, in 4 pieces of 16. `ldmatrix` hands 8 rows of a piece to the lanes 4 bytes each, and
that is what `mma` takes of 2 elements of 16 bits as of 4 of 8: one source serves them all.

    lane       names a row of a piece: of a the rows 0 to 15, first of the left piece, then of the right
    total      lane 4 g + t has of 16 rows by 8 columns (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)

Row r keeps its piece j in the place j ^ (r / 2 % 4), so that 8 rows of a piece lie in different banks. All of
a slab is emitted as one straight line, because the compiler keeps sums of loops that it does not unroll in
memory. Before sm_80 there is no such product.
"""

from collections.abc import Callable
from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types
from gpuconv.cuda.ptx.assembly import LETTERS
from gpuconv.spec.dtypes import BFLOAT16, FLOAT16, INT8, UINT8, Dtype

ROW_BYTES, PIECE_BYTES = 64, 16
A_ROWS, B_ROWS = 16, 8  # of a tile of the product
SUMS = A_ROWS * B_ROWS // 32  # of a lane, in such a tile
KINDS = {FLOAT16: "f16", BFLOAT16: "bf16", INT8: "s8", UINT8: "u8"}

WORD = ir.IntType(32)


def make_matrix_product(a: Dtype, b: Dtype, a_tiles: int, b_tiles: int) -> Callable[..., None]:
    """A function (total, a_address, b_address): a slab of 16 `a_tiles` rows times one of 8 `b_tiles` rows.

    The addresses are those of the rows that the lane names: of a those of the first tile, of b those of the
    first two, of each the left piece and then the right. `total` is a local array of float32, or of int32
    for integers, with the sums of tile (i, j) at 4 (i b_tiles + j).
    """

    def matrix_product(context: Any, total: Any, a_address: Any, b_address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sums = context.make_array(total)(context, builder, arguments[0]).data
            places = [builder.gep(sums, [WORD(i)]) for i in range(SUMS * a_tiles * b_tiles)]
            values = [builder.load(place) for place in places]
            multiply = _product(builder, a, b, LETTERS.get(total.dtype, "r"), sums.type.pointee)
            for half in range(ROW_BYTES // PIECE_BYTES // 2):
                left, right = (
                    builder.xor(address, WORD(2 * PIECE_BYTES * half)) for address in arguments[1:]
                )
                rows = [_matrices(builder, left, A_ROWS * ROW_BYTES * i) for i in range(a_tiles)]
                both = [_matrices(builder, right, 2 * B_ROWS * ROW_BYTES * j) for j in range(b_tiles // 2)]
                columns = [pair[2 * j : 2 * j + 2] for pair in both for j in range(2)]
                for tile in range(a_tiles * b_tiles):
                    i, j = divmod(tile, b_tiles)
                    at = slice(SUMS * tile, SUMS * (tile + 1))
                    values[at] = multiply([*rows[i], *columns[j], *values[at]])
            for place, value in zip(places, values, strict=True):
                builder.store(value, place)
            return context.get_dummy_value()

        return types.void(total, types.uint32, types.uint32), generate

    return intrinsic(matrix_product)


def make_put_sums(a_tiles: int, b_tiles: int, first: int) -> Callable[..., None]:
    """A function (total, address, lane): the sums of two tiles along a, from `first` on, to shared memory.

    They become 32 rows of 8 `b_tiles` sums from `address` on, in pairs: pair q of row r stands in the place
    4 (q / 4 ^ r % 8 % b_tiles) + q % 4, so that lanes meet different banks along rows and along columns.
    """

    def put_sums(context: Any, total: Any, address: Any, lane: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, begin, number = arguments
            sums = context.make_array(total)(context, builder, array).data
            element = sums.type.pointee
            pair = ir.PointerType(ir.VectorType(element, 2), 3)
            row, column = builder.lshr(number, WORD(2)), builder.and_(number, WORD(3))
            turn = builder.and_(row, WORD(b_tiles - 1))
            base = builder.add(begin, builder.mul(row, WORD(4 * B_ROWS * b_tiles)))
            for j in range(b_tiles):
                piece = builder.shl(builder.xor(WORD(j), turn), WORD(2))
                place = builder.add(base, builder.shl(builder.add(piece, column), WORD(3)))
                for i in range(2):
                    for half in range(2):
                        at = SUMS * ((first + i) * b_tiles + j) + 2 * half
                        down = (A_ROWS * i + A_ROWS // 2 * half) * 4 * B_ROWS * b_tiles
                        values = ir.Constant(pair.pointee, ir.Undefined)
                        for e in range(2):
                            value = builder.load(builder.gep(sums, [WORD(at + e)]))
                            values = builder.insert_element(values, value, WORD(e))
                        target = builder.inttoptr(builder.add(place, WORD(down)), pair)
                        builder.store(values, target, align=8)
            return context.get_dummy_value()

        return types.void(total, types.uint32, types.uint32), generate

    return intrinsic(put_sums)


def _matrices(builder: Any, address: Any, offset: int) -> list[Any]:
    """Four matrices of 8 rows by 16 bytes, of each the lane's 4 bytes."""
    text = f"ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{$0, $1, $2, $3}}, [$4+{offset}];"
    found = _emit(builder, ir.LiteralStructType([WORD] * 4), text, "=r,=r,=r,=r,r,~{memory}", [address])
    return [builder.extract_value(found, i) for i in range(4)]


def _product(
    builder: Any, a: Dtype, b: Dtype, letter: str, sum_type: Any
) -> Callable[[list[Any]], list[Any]]:
    """What makes 4 sums of 4 words of a, 2 words of b and 4 sums."""
    kind = {"f": "f32", "r": "s32"}[letter]
    text = (
        f"mma.sync.aligned.m16n8k{2 * PIECE_BYTES // a.itemsize}.row.col.{kind}.{KINDS[a]}.{KINDS[b]}.{kind} "
        "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
    )
    constraints = ",".join([*[f"={letter}"] * 4, *["r"] * 6, *[letter] * 4])

    def multiply(values: list[Any]) -> list[Any]:
        found = _emit(builder, ir.LiteralStructType([sum_type] * 4), text, constraints, values)
        return [builder.extract_value(found, i) for i in range(4)]

    return multiply


def _emit(builder: Any, result: Any, text: str, constraints: str, values: list[Any]) -> Any:
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(ir.InlineAsm(kind, text, constraints, side_effect=True), values)
