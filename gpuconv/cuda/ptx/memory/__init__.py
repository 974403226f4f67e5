"""Loads and stores: of several elements at once, without a branch, by addresses in shared memory."""

from gpuconv.cuda.ptx.memory.predicated import load2_if, load4_if, load_if, store2_if, store4_if, store_if
from gpuconv.cuda.ptx.memory.shared import get_shared, put_shared, shared_words
from gpuconv.cuda.ptx.memory.tile import load_tile
from gpuconv.cuda.ptx.memory.vectors import load2, load4, store2, store4

__all__ = [
    "get_shared", "load2", "load2_if", "load4", "load4_if", "load_if", "load_tile", "put_shared",
    "shared_words", "store2", "store2_if", "store4", "store4_if", "store_if",
]  # fmt: skip
