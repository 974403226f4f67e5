"""The processor that Numba compiles for, and the tile of a matrix product that fits its registers.

target     lanes of float32   rows x vectors   vector registers: accumulators + one of A + a row of B
AVX-512    16                 8 x 3            24 + 1 + 3 of 32
AVX2       8                  6 x 2            12 + 1 + 2 of 16
NEON       4                  8 x 2            16 + 8 + 2 of 32: LLVM loads all of A first
others     4 (AVX: 8)         4 x 2            8 + 1 + 2 and a product of 16: no fused multiply-add
"""

import platform
from dataclasses import dataclass

from llvmlite import ir
from numba.core import codegen, config

from gpuconv.spec.dtypes import FLOAT32, FLOAT64, INT32

INDEX, LANE = ir.IntType(64), ir.IntType(32)
ELEMENTS: dict[str, ir.Type] = {FLOAT32: ir.FloatType(), FLOAT64: ir.DoubleType(), INT32: LANE}


@dataclass(frozen=True, slots=True)
class Tile:
    """The registers that one tile of a matrix product takes: rows x vectors, and what the CPU can do."""

    rows: int
    vectors: int
    bits: int  # of a vector
    fused: bool  # a multiplication and an addition in one instruction

    def lanes(self, element: ir.Type) -> int:
        """Elements of one vector."""
        return self.bits // (64 if element == ELEMENTS[FLOAT64] else 32)


def tile_of(features: str, machine: str) -> Tile:
    """The tile for LLVM's feature string (as in "+avx2,+fma,-avx512f") on a machine such as "x86_64".

    Examples
    --------
    >>> tile_of("+avx,+avx2,+fma,-avx512f", "x86_64")
    Tile(rows=6, vectors=2, bits=256, fused=True)
    """
    if machine.lower() in ("aarch64", "arm64"):
        return Tile(8, 2, 128, True)
    present = _present(features)
    if {"avx512f", "avx512vl", "avx512dq", "avx512bw", "fma"} <= present:
        return Tile(8, 3, 512, True)
    if {"avx2", "fma"} <= present:
        return Tile(6, 2, 256, True)
    return Tile(4, 2, 256 if "avx" in present else 128, False)


def has_quads(features: str, machine: str) -> bool:
    """Whether four bytes of each lane are multiplied in one instruction, of 512 bits.

    Examples
    --------
    >>> has_quads("+avx,+avx2,+fma,-avx512f", "x86_64")
    False
    """
    return "avx512vnni" in _present(features) and tile_of(features, machine).bits == 512


def _present(features: str) -> set[str]:
    return {feature[1:] for feature in features.split(",") if feature.startswith("+")}


_named: str | None = getattr(config, "CPU_FEATURES", None)  # NUMBA_CPU_FEATURES
FEATURES = codegen.get_host_cpu_features() if _named is None else _named
TILE = tile_of(FEATURES, platform.machine())
QUADS = has_quads(FEATURES, platform.machine())
ROWS, VECTORS = TILE.rows, TILE.vectors
LANES: dict[str, int] = {dtype: TILE.lanes(element) for dtype, element in ELEMENTS.items()}


def description() -> str:
    """The tile in words, for the key of whatever keeps compiled code."""
    return repr(TILE)
