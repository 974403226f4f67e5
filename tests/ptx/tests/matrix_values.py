"""Matrices of small integers in every element type, for the tests of matrix instructions."""

from __future__ import annotations

import numpy as np

E4M3, E5M2 = "e4m3", "e5m2"
# Small integers in the formats that NumPy lacks.
E4M3_BITS = {-2: 0xC0, -1: 0xB8, 0: 0x00, 1: 0x38, 2: 0x40, 3: 0x44}
E5M2_BITS = {-2: 0xC0, -1: 0xBC, 0: 0x00, 1: 0x3C, 2: 0x40, 3: 0x42}
SIZES = {"f16": 2, "bf16": 2, "tf32": 4, "s8": 1, "u8": 1, "f64": 8, E4M3: 1, E5M2: 1}
DTYPES = {"f16": np.float16, "f32": np.float32, "f64": np.float64, "s32": np.int32}


def stored(values: np.ndarray, kind: str) -> np.ndarray:
    """Small integers in an element type."""
    if kind == "bf16":
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    if kind in (E4M3, E5M2):
        table = E4M3_BITS if kind == E4M3 else E5M2_BITS
        return np.vectorize(table.__getitem__)(values).astype(np.uint8)
    return values.astype(
        {"f16": np.float16, "tf32": np.float32, "f64": np.float64, "s8": np.int8}.get(kind, np.uint8)
    )


def integers(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> np.ndarray:
    limits = {"s8": (-128, 128), "u8": (0, 256), E4M3: (-2, 4), E5M2: (-2, 4)}
    return rng.integers(*limits.get(kind, (-8, 8)), shape)
