"""``ldmatrix``, ``stmatrix`` and ``movmatrix``: 8 x 8 matrices of 16-bit elements.

Each row of a matrix is 16 bytes at an address that one lane gives: lanes 0 to 7 for the first
matrix, 8 to 15 for the second, and so on. For races and bank conflicts these lanes make the access.
"""

from __future__ import annotations

import numpy as np

from ..fragments import Fragment, block8x8
from ..lanes import Active
from ..races import Access
from ..registry import Binder, Step, operation
from ..undefined_bits import bits_of_elements
from .loads import Addresses, take_space

ROW_BYTES = 16
BLOCK = Fragment(block8x8, 32, (8, 8))


def _matrices(op: Binder, registers: int) -> tuple[int, bool, str]:
    """(Number of matrices, transposed, state space) from the modifiers; `registers` is an operand."""
    (kind,) = op.types(1)
    op.expect_type(kind, "b16")
    count = op.take("x1", "x2", "x4")
    if not op.flag("aligned") or not op.flag("m8n8") or count is None:
        raise op.unknown(f"form of {op.opcode}")
    if len(op.items(registers)) != int(count[1:]):
        raise op.unknown("number of registers")
    space = take_space(op)
    if space not in ("shared", "generic"):
        raise op.unknown(f"state space of {op.opcode}")
    return int(count[1:]), op.flag("trans"), space


def _addressing(active: Active, count: int) -> Active:
    """The lanes that give the addresses of `count` matrices."""
    lanes = np.arange(active.mask.size) % 32
    return Active(active.mask & (lanes < 8 * count), active.count // 32 * 8 * count)


@operation("ldmatrix.sync", group=32, whole=True, own_checks=True)
def ldmatrix(op: Binder) -> Step:
    count, transposed, space = _matrices(op, 0)
    items = op.items(0)
    outs = [op.target(item, "b32") for item in items]
    machine, addresses = op.machine, Addresses(op, 1)

    def held(rows: np.ndarray) -> np.ndarray:
        """(warps * count * 8, 8) elements of rows to (count, warps * 32, 2) elements of lanes."""
        blocks = rows.reshape(-1, 8, 8)
        lanes = BLOCK.held(blocks.swapaxes(1, 2) if transposed else blocks)
        return lanes.reshape(-1, count, 32, 2).swapaxes(0, 1).reshape(count, -1, 2)

    def step(active: Active) -> None:
        given = _addressing(active, count)
        chunks, unset = machine.memory.load(
            op.instruction, space, addresses(given), given, ROW_BYTES, Access.READ
        )
        values = np.ascontiguousarray(held(chunks.view(np.uint16).reshape(-1, 8))).view(np.uint32)
        for out, column in zip(outs, values, strict=True):
            active.scatter(out, column[:, 0])
        if unset or machine.states.undefined:
            unknown = held(_unset_elements(unset, given.count))
            for item, column in zip(items, unknown, strict=True):
                undefined = np.zeros(machine.lanes, np.uint64)
                undefined[active.indices] = bits_of_elements(column, 16)
                machine.states.mark(item, undefined, active.mask)

    return step


def _unset_elements(unset: list, rows: int) -> np.ndarray:
    """Which elements of rows have bytes that nothing has written, shape (rows, 8)."""
    undefined = np.zeros((rows, 8), bool)
    for selection, region, positions in unset:
        for element in range(8):
            known = region.initialised(positions + 2 * element, 2)
            if known is not None:
                undefined[selection, element] = ~known
    return undefined


@operation("stmatrix.sync", group=32, whole=True, writes=0, own_checks=True)
def stmatrix(op: Binder) -> Step:
    count, transposed, space = _matrices(op, 1)
    items = op.items(1)
    sources = [op.source(item, "b32") for item in items]
    machine, addresses = op.machine, Addresses(op, 0)

    def step(active: Active) -> None:
        for item in items:
            machine.states.reject(item, active, "a matrix in memory")
        columns = np.stack([active.gather(source).reshape(-1, 32) for source in sources], axis=1)
        blocks = BLOCK.matrices(columns.view(np.uint16))
        rows = np.ascontiguousarray(blocks.swapaxes(1, 2) if transposed else blocks)
        given = _addressing(active, count)
        chunks = rows.reshape(-1, 8).view(np.complex128)[:, 0]
        machine.memory.store(op.instruction, space, addresses(given), given, ROW_BYTES, chunks, Access.WRITE)

    return step


@operation("movmatrix.sync", group=32, whole=True)
def movmatrix(op: Binder) -> Step:
    """Transpose a matrix from registers to registers."""
    (kind,) = op.types(1)
    op.expect_type(kind, "b16")
    if not all([op.flag("aligned"), op.flag("m8n8"), op.flag("trans")]):
        raise op.unknown("form of movmatrix")
    out, values = op.target(0, "b32"), op.source(1, "b32")

    def step(active: Active) -> None:
        blocks = BLOCK.matrices(active.gather(values).copy().view(np.uint16))
        turned = np.ascontiguousarray(BLOCK.held(blocks.swapaxes(1, 2)))
        active.scatter(out, turned.view(np.uint32)[:, 0])

    return step
