"""What PTX text consists of once it is parsed: types, operands, instructions, functions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
SIGNED = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}
FLOATS = {2: np.float16, 4: np.float32, 8: np.float64}

# Storage of every fundamental type. Formats that NumPy lacks are kept as their bits.
DTYPES: dict[str, np.dtype] = {
    "pred": np.dtype(bool),
    "f16x2": np.dtype(np.uint32),
    "bf16x2": np.dtype(np.uint32),
    "bf16": np.dtype(np.uint16),
    "tf32": np.dtype(np.uint32),
    "u16x2": np.dtype(np.uint32),
    "s16x2": np.dtype(np.uint32),
    "e4m3x2": np.dtype(np.uint16),
    "e5m2x2": np.dtype(np.uint16),
}
for _size in (1, 2, 4, 8):
    DTYPES[f"u{8 * _size}"] = DTYPES[f"b{8 * _size}"] = np.dtype(BITS[_size])
    DTYPES[f"s{8 * _size}"] = np.dtype(SIGNED[_size])
    if _size > 1:
        DTYPES[f"f{8 * _size}"] = np.dtype(FLOATS[_size])


@dataclass(eq=False, slots=True)
class Register:
    """A register of one function; identity is equality, since scopes may reuse names."""

    name: str
    type: str

    def __repr__(self) -> str:
        return self.name


@dataclass(eq=False, slots=True)
class Variable:
    """A variable in a state space: ``.shared``, ``.global``, ``.const``, ``.local`` or ``.param``.

    `size` is in bytes and None for an external array (dynamic shared memory); `initial` holds the
    first bytes of its value, the rest being zero, and is None where PTX gives none. `references`
    are the (byte offset, variable name) pairs of pointers in the initial value.
    """

    name: str
    space: str
    type: str
    size: int | None
    alignment: int
    initial: bytes | None = None
    references: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Special:
    """A special register such as ``%tid.x``."""

    name: str


@dataclass(frozen=True, slots=True)
class Immediate:
    """A constant: an int, or a float with its own type ("f32", "f64")."""

    value: int | float
    type: str | None = None

    def as_dtype(self, dtype: np.dtype) -> np.generic:
        """The constant as one element of `dtype`, integers wrapping, float bits kept."""
        size = dtype.itemsize
        if self.type is None:
            if dtype.kind == "f":
                return dtype.type(self.value)
            if dtype.kind == "b":
                return np.bool_(self.value != 0)
            return BITS[size](int(self.value) & ((1 << (8 * size)) - 1)).view(dtype)
        if dtype.kind == "f":
            return dtype.type(self.value)
        return FLOATS[int(self.type[1:]) // 8](self.value).view(BITS[int(self.type[1:]) // 8]).astype(dtype)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable plus an offset in bytes, or the name of a function, then without a variable."""

    name: str
    offset: int = 0
    variable: Variable | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """``[base + offset]``, for tensor copies with coordinates: ``[base, {x, y}]``."""

    base: object
    offset: int = 0
    coordinates: tuple = ()


@dataclass(frozen=True, slots=True)
class Vector:
    """``{a, b, ...}``"""

    items: tuple


@dataclass(frozen=True, slots=True)
class Negated:
    """``!p``"""

    register: Register


@dataclass(frozen=True, slots=True)
class Pair:
    """``p|q``: two destinations."""

    first: object
    second: object


@dataclass(frozen=True, slots=True)
class Sink:
    """``_``: a destination that is thrown away."""


@dataclass(eq=False, slots=True)
class Instruction:
    """One instruction: ``@guard opcode.modifiers operands;``

    `targets` are the instruction indices that a branch may go to (more than one for ``brx.idx``).
    A call has the callee's name, its arguments and the variables that take its results. `source` is the file
    and line that it was compiled from, if the text tells.
    """

    line: int
    text: str
    guard: Register | None
    negated: bool
    parts: tuple[str, ...]
    operands: tuple
    targets: tuple[int, ...] = ()
    callee: str | None = None
    arguments: tuple = ()
    results: tuple = ()
    source: str | None = None


@dataclass(eq=False, slots=True)
class Function:
    """An ``.entry`` or ``.func`` with its body; `limits` are its directives, such as ``.maxntid``."""

    name: str
    entry: bool
    parameters: list[Variable]
    returns: list[Variable]
    variables: list[Variable] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    labels: frozenset[int] = frozenset()
    defined: bool = False
    limits: dict[str, list[int]] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Module:
    """A whole PTX text."""

    target: str
    functions: dict[str, Function]
    variables: dict[str, Variable]

    @property
    def entries(self) -> list[str]:
        return [name for name, function in self.functions.items() if function.entry]


def registers_of(operand: object) -> list[Register]:
    """Every register that an operand names."""
    if isinstance(operand, Register):
        return [operand]
    if isinstance(operand, Negated):
        return [operand.register]
    if isinstance(operand, Vector):
        return [register for item in operand.items for register in registers_of(item)]
    if isinstance(operand, Pair):
        return registers_of(operand.first) + registers_of(operand.second)
    if isinstance(operand, Address):
        return registers_of(operand.base) + [r for item in operand.coordinates for r in registers_of(item)]
    return []
