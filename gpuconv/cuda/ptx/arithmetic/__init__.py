"""What is computed in registers by instructions that Numba has no word for."""

from gpuconv.cuda.ptx.arithmetic.extremes import first_maximum, maximum
from gpuconv.cuda.ptx.arithmetic.finite import make_not_finite
from gpuconv.cuda.ptx.arithmetic.products import add_product, add_products
from gpuconv.cuda.ptx.arithmetic.reciprocal import near_reciprocal
from gpuconv.cuda.ptx.arithmetic.sixteen_bits import (
    pair_bfloat16,
    pair_float16,
    unpair_bfloat16,
    unpair_float16,
    words_at,
)

__all__ = [
    "add_product", "add_products", "first_maximum", "make_not_finite", "maximum", "near_reciprocal",
    "pair_bfloat16", "pair_float16", "unpair_bfloat16", "unpair_float16", "words_at",
]  # fmt: skip
