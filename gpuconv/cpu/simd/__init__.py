"""Vectors for CPU kernels: the only room with LLVM IR, and the only one that knows the machine's registers.

LLVM vectorises plain loops over rows, but it prefers 256 bits where the CPU has 512, and it keeps no tile of
accumulators in registers. So kernels say themselves:

    p = pointer(array, at)          where element `at` of the array's memory lies (its strides do not count)
    lanes(p)                        how many of its elements a vector has
    v = load(p, at)                 the vector of elements p[at], p[at + 1], ..
    v = load_between(p, at, i, j)   its lanes i <= lane < j; zero, and not read, elsewhere
    load_apart(p, at, step, i, j)   the same of elements that lie `step` apart
    load_part(p, at, count, v)      its first `count` lanes; those of v, and not read, behind
    store(p, at, v)                 and store_part(p, at, v, count): the first `count` lanes only
    splat(scalar)                   the vector of equal lanes
    fma(a, b, c)                    a * b + c; also a + b, a - b, a * b, a / b
    zeros(p)                        the vector of zeros of the pointer's dtype; filled(p, 0.5) of a number
    magnitude(v)                    the lanes without their signs
    greatest(a, b)                  NaN where either is; a where they are equal
    at_least(v, bound)              v, or the bound where v is not above it; at_most likewise; a NaN stays
    if_positive(v, a, b)            a where v > 0, else b
    least_bits(a, b)                the lesser as signed integers, of which the bits of -0.0 are the least
    even(a, b), odd(a, b)           elements 0, 2, .. and 1, 3, .. of a and b put end to end
    first_pairs(a, b)               a0 b0 a1 b1 .., and last_pairs(a, b): what comes after that
    from_one(a, b), from_last(a, b) of a and b put end to end, n elements from a1 on, or from the last of a
    has_nan(v)                      whether any lane is NaN
    has_zero(v)                     whether any is 0; has_negative_zero(v): whether any is -0.0
    noinline()                      keeps the loops of a function out of its callers
    claim(counter)                  the next task, shared among threads
    stacked(p)                      a pointer to STACKED vectors of the function's own

Nothing needs to be aligned. Beside these (`vectors.py`), a file for each thing that stays in registers:

    product.py    tile_product      a tile of a matrix product; tile_sum: added to rows, or to one for all
    quads.py      quad_product      the same of bytes, four at a time, in int32
    gather.py     gathered_product  the same where a table says where each row of the right factor begins
    pixels.py     pixel_product     a tile summed over the pixels of a rectangle; pixel_dots: pixels in lanes
    window.py     window_product    rows of outputs of a sliding window, over a copy with zeros around
    stream.py     stream_windows    the same straight from an image, row after row
    channels.py   channel_product   the same where the lanes are channels, each with weights of its own
    lines.py      lines_to_lanes    planes turned into vectors of one pixel each, and back
    squares.py    square_product    a square of vectors between two constant matrices; grids of vectors
    places.py     if_greater        integers in the lanes: the places of maxima
    bits.py       bits_of           a float32 as an integer, and back
    exponential.py                    exponential, sigmoid, tangent and normal of each lane
    finish.py     finished          complete sums made results before they are stored
    addresses.py  call_at           a compiled function that is the same for all kernels
    objects.py    word_at           what lies in Python objects, which kernels do not see

`target.py` chooses the tile for the CPU that Numba compiles for. It is one room and not one file, as
`cuda/ptx/` is, because each of these can be read without the others.
"""

from gpuconv.cpu.simd.product import tile_product, tile_sum
from gpuconv.cpu.simd.target import LANES, QUADS, ROWS, TILE, VECTORS, Tile, description, has_quads, tile_of
from gpuconv.cpu.simd.vectors import (
    STACKED,
    Vector,
    at_least,
    at_most,
    claim,
    even,
    filled,
    first_pairs,
    fma,
    from_last,
    from_one,
    greatest,
    has_nan,
    has_negative_zero,
    has_zero,
    if_positive,
    lanes,
    last_pairs,
    least_bits,
    load,
    load_apart,
    load_between,
    load_part,
    magnitude,
    noinline,
    odd,
    pointer,
    pointer_after,
    prefetch,
    prefetch_to_write,
    splat,
    stacked,
    store,
    store_part,
    zeros,
)

__all__ = [
    "LANES", "QUADS", "ROWS", "STACKED", "TILE", "VECTORS", "Tile", "Vector", "at_least", "at_most",
    "claim", "description", "even", "filled", "first_pairs", "fma", "from_last", "from_one", "greatest",
    "has_nan", "has_negative_zero", "has_quads", "has_zero", "if_positive", "lanes", "last_pairs",
    "least_bits", "load", "load_apart", "load_between", "load_part", "magnitude", "noinline", "odd",
    "pointer", "pointer_after", "prefetch", "prefetch_to_write", "splat", "stacked", "store", "store_part",
    "tile_of", "tile_product", "tile_sum", "zeros",
]  # fmt: skip
