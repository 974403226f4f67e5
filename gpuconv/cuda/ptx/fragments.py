"""The product of two slabs in shared memory, added to the sums that a thread keeps in registers.

    total[i][j] += sum over t of a[t][place_a(i)] * b[t][place_b(j)]

`ld.shared.v4.f32` and `fma.rn.f32`: PTX ISA, sections "Data Movement and Conversion Instructions: ld" and
"Floating-Point Instructions: fma". The compiler unrolls loops up to about a thousand operations and keeps
sums of loops that it does not unroll in memory, so all of the slab is emitted here as one straight line of
LLVM IR: per row of the slab (i + j) / 4 loads of 128 bits and i j products.
"""

from collections.abc import Callable, Sequence
from typing import Any

from gpuconv.cuda.language import intrinsic, ir, types

LONG = ir.IntType(64)
SHARED = 3  # address space
QUAD = 4  # elements of one load


def make_slab_product(rows: int, a_pitch: int, b_pitch: int, a: Sequence[int], b: Sequence[int]) -> Callable:
    """A function (total, a_first, b_first) for slabs of `rows` rows, `a_pitch` and `b_pitch` long.

    `a` and `b` are the places in a row, multiples of 4 elements, from which the thread takes 4 elements each;
    `a_first` and `b_first` are the addresses in shared memory, multiples of 16 bytes, that these places are
    counted from. `total` is a local array of 4 len(a) x 4 len(b) sums.
    """

    def slab_product(context: Any, total: Any, a_first: Any, b_first: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sums = context.make_array(total)(context, builder, arguments[0]).data
            shared = ir.PointerType(sums.type.pointee, SHARED)
            a_base, b_base = (builder.inttoptr(address, shared) for address in arguments[1:])
            columns = QUAD * len(b)
            places = [builder.gep(sums, [LONG(i)]) for i in range(QUAD * len(a) * columns)]
            values = [builder.load(place) for place in places]
            multiply_add = _multiply_add(builder, values[0].type)
            for row in range(rows):
                left = _fragment(builder, a_base, [row * a_pitch + place for place in a])
                right = _fragment(builder, b_base, [row * b_pitch + place for place in b])
                values = [
                    builder.call(multiply_add, [left[i // columns], right[i % columns], value])
                    for i, value in enumerate(values)
                ]
            for place, value in zip(places, values, strict=True):
                builder.store(value, place)
            return context.get_dummy_value()

        return types.void(total, types.uint32, types.uint32), generate

    return intrinsic(slab_product)


def _multiply_add(builder: Any, element: Any) -> Any:
    name = "llvm.fma.f64" if isinstance(element, ir.DoubleType) else "llvm.fma.f32"
    function = builder.module.globals.get(name)
    return function or ir.Function(builder.module, ir.FunctionType(element, [element] * 3), name)


def _fragment(builder: Any, base: Any, places: Sequence[int]) -> list[Any]:
    """The elements of a row that a thread needs: 4 from each place."""
    vector = ir.VectorType(base.type.pointee, QUAD)
    found = []
    for place in places:
        element = builder.gep(base, [LONG(place)])
        loaded = builder.load(builder.bitcast(element, ir.PointerType(vector, SHARED)), align=16)
        found += [builder.extract_element(loaded, ir.IntType(32)(i)) for i in range(QUAD)]
    return found
