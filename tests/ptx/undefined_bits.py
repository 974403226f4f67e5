"""Which bits of a result depend on bits that nothing has written.

Moves, logic, shifts and selections carry undefined bits each to its place, since compilers load pairs and
quarters of words and use a part of them; of all other instructions a result is undefined as a whole, or one
element of a packed type. A bit that the defined ones decide alone, as in ``and`` with zero, is defined.

Each rule is called with a `Flow` and returns the bits of every destination, as uint64 over all lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from .syntax import DTYPES, SIGNED, Instruction, Negated, Register, Vector, registers_of
from .words import field, funnel, inserted, permute_bytes

ALL = ~np.uint64(0)
BITS_OF_BYTES = np.array(  # of a number whose bits tell which bytes are meant, those bytes
    [sum(0xFF << (8 * byte) for byte in range(8) if number >> byte & 1) for number in range(256)], np.uint64
)


def whole(undefined: np.ndarray) -> np.ndarray:
    """All bits where `undefined`, a bool for each lane, holds."""
    return np.where(undefined, ALL, np.uint64(0))


def width_of(kind: str) -> int:
    """Bits of a type."""
    return 1 if kind == "pred" else 8 * DTYPES[kind].itemsize


def low(bits: int) -> np.uint64:
    """The lowest bits."""
    return ALL if bits >= 64 else np.uint64((1 << bits) - 1)


def bits_of_elements(undefined: np.ndarray, size: int) -> np.ndarray:
    """The bits of registers, given which of their elements, shape (lanes, elements), are undefined."""
    places = np.arange(undefined.shape[1], dtype=np.uint64) * np.uint64(size)
    return np.bitwise_or.reduce(np.where(undefined, low(size) << places, np.uint64(0)), axis=1)


class Flow:
    """One instruction, with the undefined bits and the values of its operands.

    Parameters
    ----------
    machine : Machine
    instruction : Instruction
    written : list of Register
    """

    def __init__(self, machine, instruction: Instruction, written: list[Register]) -> None:
        self.machine, self.instruction, self.written = machine, instruction, written
        self.operands = instruction.operands
        self.parts = instruction.parts
        self.kind = next((part for part in reversed(self.parts) if part in DTYPES), "b64")
        self.nothing = np.zeros(machine.lanes, np.uint64)

    def bits(self, operand: object) -> np.ndarray:
        """Undefined bits of an operand (an index means that operand), of all its registers together."""
        operand = self.operands[operand] if isinstance(operand, int) else operand
        result = self.nothing
        for register in registers_of(operand):
            known = self.machine.states.undefined.get(register)
            if known is not None:
                result = result | known & low(width_of(register.type))
        return result

    def value(self, operand: object, kind: str | None = None) -> np.ndarray:
        """The values of an operand as uint64, or as a type."""
        operand = self.operands[operand] if isinstance(operand, int) else operand
        if isinstance(operand, Negated):
            return 1 - self.value(operand.register)
        wanted = kind or (
            operand.type if isinstance(operand, Register) else f"b{max(width_of(self.kind), 8)}"
        )
        values = self.machine.source(operand, wanted, self.instruction)
        return values if kind else values.astype(np.uint64)

    def any_of(self, *operands: object) -> np.ndarray:
        """Whether any bit of any of the operands is undefined."""
        return np.logical_or.reduce([self.bits(operand) != 0 for operand in operands])


Rule = Callable[[Flow], list[np.ndarray]]


def _unless(flow: Flow, control: tuple, result: np.ndarray) -> list[np.ndarray]:
    """`result`, or all bits where an operand that decides what happens is undefined."""
    return [np.where(flow.any_of(*control), ALL, result)]


def _move(flow: Flow) -> list[np.ndarray]:
    to, origin = flow.operands
    if isinstance(to, Vector):
        size = width_of(flow.kind) // len(to.items)
        bits = flow.bits(1)
        parts = [bits >> np.uint64(size * place) & low(size) for place in range(len(to.items))]
        return [part for part, item in zip(parts, to.items, strict=True) if isinstance(item, Register)]
    if isinstance(origin, Vector):
        size = width_of(flow.kind) // len(origin.items)
        parts = [flow.bits(item) << np.uint64(size * place) for place, item in enumerate(origin.items)]
        return [np.bitwise_or.reduce(parts)]
    return [flow.bits(1)]


def _varies(flow: Flow, function: Callable[..., np.ndarray], count: int) -> list[np.ndarray]:
    """Bits of a bitwise function that differ if undefined bits of its operands do."""
    given = [(flow.value(index + 1), flow.bits(index + 1)) for index in range(count)]
    results = [function(*chosen) for chosen in product(*((v & ~u, v | u) for v, u in given))]
    return [np.bitwise_or.reduce(results) ^ np.bitwise_and.reduce(results)]


def _logic(flow: Flow) -> list[np.ndarray]:
    function = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}[flow.parts[0]]
    return _varies(flow, function, 2)


def _lop3(flow: Flow) -> list[np.ndarray]:
    table = int(flow.operands[4].value)

    def function(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        rows = [row for row in range(8) if table >> row & 1]
        terms = [(a if r & 4 else ~a) & (b if r & 2 else ~b) & (c if r & 1 else ~c) for r in rows]
        return np.bitwise_or.reduce([flow.nothing, *terms])

    return _varies(flow, function, 3)


def _shift(flow: Flow) -> list[np.ndarray]:
    width, bits = width_of(flow.kind), flow.bits(1)
    amount = np.minimum(flow.value(2, "u32"), width).astype(np.uint64)
    most = np.minimum(amount, np.uint64(63))
    if flow.parts[0] == "shl":
        shifted = np.where(amount > 63, np.uint64(0), bits << most)
    elif flow.kind[0] == "s":
        signed = bits.astype(np.uint64).astype(f"u{width // 8}").view(SIGNED[width // 8]).astype(np.int64)
        shifted = (signed >> most.astype(np.int64)).view(np.uint64)
    else:
        shifted = np.where(amount > 63, np.uint64(0), bits >> most)
    return _unless(flow, (2,), shifted & low(width))


def _words(flow: Flow, *operands: int) -> list[np.ndarray]:
    return [flow.bits(operand).astype(np.uint32) for operand in operands]


def _funnel(flow: Flow) -> list[np.ndarray]:
    function = funnel("l" if "l" in flow.parts else "r", "wrap" in flow.parts)
    return _unless(flow, (3,), function(*_words(flow, 1, 2), flow.value(3, "u32")).astype(np.uint64))


def _permute(flow: Flow) -> list[np.ndarray]:
    mode = next((part for part in flow.parts[1:] if part not in DTYPES), None)
    moved = permute_bytes(*_words(flow, 1, 2), flow.value(3, "b32"), mode)
    return _unless(flow, (3,), moved.astype(np.uint64))


def _as_kind(flow: Flow, operand: int) -> np.ndarray:
    return flow.bits(operand).astype(f"u{width_of(flow.kind) // 8}").view(DTYPES[flow.kind])


def _extract(flow: Flow) -> list[np.ndarray]:
    found = field(flow.kind)(_as_kind(flow, 1), flow.value(2, "u32"), flow.value(3, "u32"))
    return _unless(flow, (2, 3), _unsigned(found))


def _insert(flow: Flow) -> list[np.ndarray]:
    result = inserted(flow.kind)(
        _as_kind(flow, 1), _as_kind(flow, 2), flow.value(3, "u32"), flow.value(4, "u32")
    )
    return _unless(flow, (3, 4), _unsigned(result))


def _unsigned(values: np.ndarray) -> np.ndarray:
    return values.view(f"u{values.itemsize}").astype(np.uint64)


def _convert(flow: Flow) -> list[np.ndarray]:
    """Integers keep their lower bits, and are filled up with zeros or copies of the sign."""
    to, origin = flow.parts[-2:]
    bits = flow.bits(1) & low(width_of(origin))
    if {to[0], origin[0]} <= set("sub") and "sat" not in flow.parts:
        if origin[0] == "s":
            size = width_of(origin) // 8
            bits = bits.astype(f"u{size}").view(SIGNED[size]).astype(np.int64).view(np.uint64)
        return [bits & low(max(width_of(to), width_of(flow.written[0].type)))]
    return [whole(bits != 0)]


def _select(flow: Flow) -> list[np.ndarray]:
    return _unless(flow, (3,), np.where(flow.value(3) != 0, flow.bits(1), flow.bits(2)))


def _select_by_sign(flow: Flow) -> list[np.ndarray]:
    chosen = flow.value(3, flow.parts[-1]) >= 0
    return _unless(flow, (3,), np.where(chosen, flow.bits(1), flow.bits(2)))


def _compare(flow: Flow) -> list[np.ndarray]:
    """A predicate that is combined decides alone where it can."""
    undefined = flow.any_of(1, 2)
    if len(flow.operands) > 3:
        other = flow.value(3) != 0
        decides = {"and": ~other, "or": other}
        combine = next((part for part in flow.parts if part in decides), None)
        undefined = undefined & ~decides[combine] if combine else undefined
        undefined = undefined | flow.any_of(3)
    return [whole(undefined)] * len(flow.written)


def _elements(flow: Flow) -> list[np.ndarray]:
    """Of a packed type each element by itself, of another the whole."""
    bits = np.bitwise_or.reduce([flow.bits(operand) for operand in flow.operands[1:]] or [flow.nothing])
    size = width_of(flow.kind) // 2
    if not flow.kind.endswith("x2") or flow.parts[0] in ("cvt", "set", "setp"):
        return [whole(bits != 0)] * len(flow.written)
    halves = [
        np.where(bits & (low(size) << np.uint64(at)), low(size) << np.uint64(at), 0) for at in (0, size)
    ]
    return [halves[0] | halves[1]]


RULES: dict[str, Rule] = {
    "mov": _move,
    "and": _logic,
    "or": _logic,
    "xor": _logic,
    "not": lambda flow: [flow.bits(1)],
    "lop3": _lop3,
    "shl": _shift,
    "shr": _shift,
    "shf": _funnel,
    "prmt": _permute,
    "bfe": _extract,
    "bfi": _insert,
    "selp": _select,
    "slct": _select_by_sign,
}


def carried(flow: Flow) -> list[np.ndarray]:
    """The undefined bits of each register that an instruction writes."""
    opcode = flow.parts[0]
    if opcode == "cvt" and not any(part.endswith("x2") for part in flow.parts):
        return _convert(flow)
    if opcode == "setp" and not flow.kind.endswith("x2"):
        return _compare(flow)
    return RULES.get(opcode, _elements)(flow)
