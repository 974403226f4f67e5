"""Arithmetic of matrix products, and matrices in registers.

Products of elements are exact. They are added up, with the accumulator, in float64 (integers:
exactly) and rounded once to the accumulator's type. Hardware adds in an order of its own and
truncates sums to somewhat more than float32's precision, so on real numbers it differs from this by
some units in the last place of the largest term; on small integers both are exact. The lowest 13
bits of tf32 elements are ignored.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from .fragments import Fragment
from .lanes import Active
from .registry import Binder
from .rounding import CANONICAL_NAN, widen
from .undefined_bits import bits_of_elements, low

# How elements are stored. 8-bit floating-point formats and bf16 are kept as their bits.
ELEMENTS = {
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(np.uint16),
    "tf32": np.dtype(np.uint32),
    "s8": np.dtype(np.int8),
    "u8": np.dtype(np.uint8),
    "e4m3": np.dtype(np.uint8),
    "e5m2": np.dtype(np.uint8),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "s32": np.dtype(np.int32),
}
# Types of A and B that go together with each type of the accumulator.
FACTORS = {
    "f16": ("f16", "e4m3", "e5m2"),
    "f32": ("f16", "bf16", "tf32", "e4m3", "e5m2"),
    "s32": ("s8", "u8"),
    "f64": ("f64",),
}


def packed(kind: str) -> int:
    """Elements in one register."""
    return max(4 // ELEMENTS[kind].itemsize, 1)


def take_types(op: Binder, count: int) -> list[str]:
    """Remove and return the trailing types of a matrix instruction."""
    kinds = op.modifiers[len(op.modifiers) - count :]
    if len(kinds) < count or any(kind not in ELEMENTS for kind in kinds):
        raise op.unknown(f"types in {op.instruction.text!r}")
    del op.modifiers[len(op.modifiers) - count :]
    return kinds


def same_family(accumulator: str, a: str, b: str) -> bool:
    """Whether elements of types a and b multiply to this type of accumulator."""
    allowed = FACTORS.get(accumulator, ())
    mixed = ELEMENTS[a].itemsize == ELEMENTS[b].itemsize == 1
    return a in allowed and b in allowed and (a == b or mixed)


@cache
def _table(kind: str) -> np.ndarray:
    """All 256 values of an 8-bit floating-point format."""
    fraction_bits, bias = {"e4m3": (3, 7), "e5m2": (2, 15)}[kind]
    bits = np.arange(256)
    fraction = (bits & ((1 << fraction_bits) - 1)) / (1 << fraction_bits)
    exponent = bits >> fraction_bits & (0x7F >> fraction_bits)
    values = np.where(exponent == 0, np.ldexp(fraction, 1 - bias), np.ldexp(1 + fraction, exponent - bias))
    if kind == "e4m3":
        values[bits & 0x7F == 0x7F] = np.nan
    else:
        values[bits & 0x7F == 0x7C] = np.inf
        values[bits & 0x7F > 0x7C] = np.nan
    return np.where(bits & 0x80, -values, values)


def decode(values: np.ndarray, kind: str) -> np.ndarray:
    """Elements as float64, exactly."""
    return _table(kind)[values] if kind in ("e4m3", "e5m2") else widen(values, kind)


def encode(values: np.ndarray, kind: str, saturate: bool = False) -> np.ndarray:
    """float64 sums rounded to the accumulator's type; integers wrap unless they saturate."""
    dtype = ELEMENTS[kind]
    if kind == "s32":
        limits = np.iinfo(np.int32)
        whole = np.clip(values, limits.min, limits.max) if saturate else values
        return whole.astype(np.int64).astype(np.int32)
    result = values.astype(dtype)
    nan = np.isnan(values)
    if nan.any():
        bits = np.dtype(f"u{dtype.itemsize}")
        result = np.where(nan, np.array(CANONICAL_NAN[kind], bits).view(dtype), result)
    return result


def undefined_product(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Which elements of ``a @ b + c`` depend on undefined ones, given which of a, b and c are."""
    return c | a.any(axis=2)[:, :, None] | b.any(axis=1)[:, None, :]


class MatrixRegisters:
    """A matrix operand in registers.

    Parameters
    ----------
    op : Binder
    items : tuple
        The registers, or constants.
    fragment : Fragment
        How the matrix lies in them.
    kind : str
        Type of the elements.
    """

    def __init__(self, op: Binder, items: tuple, fragment: Fragment, kind: str) -> None:
        self.items, self.fragment, self.kind = items, fragment, kind
        self.states = op.machine.states
        if len(items) * packed(kind) != fragment.elements:
            raise op.unknown(f"number of registers: {len(items)} for {fragment.elements} elements .{kind}")
        self._bits = f"b{8 * max(ELEMENTS[kind].itemsize, 4)}"
        self._sources = [op.source(item, self._bits) for item in items]
        self._targets: list[np.ndarray] = []

    @classmethod
    def destination(cls, op: Binder, items: tuple, fragment: Fragment, kind: str) -> MatrixRegisters:
        """Registers that can be written as well."""
        registers = cls(op, items, fragment, kind)
        registers._targets = [op.target(item, registers._bits) for item in items]
        return registers

    def read(self, active: Active) -> np.ndarray:
        """The matrices of all groups as float64, shape (groups, rows, columns)."""
        columns = np.stack([active.gather(source) for source in self._sources], axis=-1)
        return decode(self.fragment.matrices(columns.view(ELEMENTS[self.kind])), self.kind)

    def write(self, active: Active, matrices: np.ndarray) -> None:
        """Store matrices of the elements' own type."""
        held = np.ascontiguousarray(self.fragment.held(matrices))
        columns = held.view(self._targets[0].dtype)
        for column, target in enumerate(self._targets):
            active.scatter(target, columns[:, column])

    def undefined(self, active: Active) -> np.ndarray:
        """Which elements hold a value that nothing has written, shape (groups, rows, columns)."""
        size = 8 * ELEMENTS[self.kind].itemsize
        known = [self.states.undefined.get(item) for item in self.items]
        nothing = np.zeros(active.count, np.uint64)
        columns = np.stack([nothing if bits is None else active.gather(bits) for bits in known], axis=-1)
        shifts = np.arange(packed(self.kind), dtype=np.uint64) * np.uint64(size)
        held = columns[..., None] >> shifts & low(size) != 0
        return self.fragment.matrices(held.reshape(*columns.shape[:-1], -1))

    def mark(self, active: Active, undefined: np.ndarray) -> None:
        """Set which elements are undefined."""
        held = self.fragment.held(undefined).reshape(active.count, len(self.items), packed(self.kind))
        for column, item in enumerate(self.items):
            bits = np.zeros(active.mask.size, np.uint64)
            bits[active.indices] = bits_of_elements(held[:, column], 8 * ELEMENTS[self.kind].itemsize)
            self.states.mark(item, bits, active.mask)
