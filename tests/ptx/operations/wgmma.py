"""``wgmma`` and ``setmaxnreg``: asynchronous matrix products of a warpgroup.

The product is computed when it is issued, from shared memory as it is then. Until a wait covers it
nobody may change what it reads or look at what it writes, so nothing can tell the difference.
"""

from __future__ import annotations

import re
from functools import partial
from typing import NamedTuple

import numpy as np

from ..async_reads import WARPGROUP, AsyncReads
from ..descriptors import CHUNK, check, chunk_addresses, decode
from ..faults import DivergenceError, PtxError
from ..fragments import Fragment, wgmma_a, wgmma_d
from ..lanes import Active
from ..matrix_arithmetic import (
    ELEMENTS,
    MatrixRegisters,
    encode,
    packed,
    same_family,
    take_types,
    undefined_product,
)
from ..matrix_arithmetic import decode as decode_elements
from ..registry import Binder, Step, operation
from ..syntax import Vector, registers_of
from ..warpgroup import Products, Uses

ROWS = 64
TOGETHER = {"group": WARPGROUP, "whole": True, "asynchronous": True}
REGISTERS = range(24, 257, 8)


@operation("wgmma.fence", writes=0, **TOGETHER)
def fence(op: Binder) -> Step:
    _expect_aligned(op)
    return op.machine.extension(Products).fence


@operation("wgmma.commit_group", writes=0, **TOGETHER)
def commit_group(op: Binder) -> Step:
    _expect_aligned(op)
    return op.machine.extension(Products).commit


@operation("wgmma.wait_group", writes=0, **TOGETHER)
def wait_group(op: Binder) -> Step:
    _expect_aligned(op)
    pending = op.constant(0)
    products = op.machine.extension(Products)
    return lambda active: products.wait(active, pending)


@operation("setmaxnreg", writes=0, group=WARPGROUP, whole=True)
def setmaxnreg(op: Binder) -> Step:
    """Registers are not counted here, so only the form is checked."""
    _expect_aligned(op)
    op.types(1)
    if op.take("inc", "dec") is None or op.constant(0) not in REGISTERS:
        raise op.unknown("number of registers: a multiple of 8 from 24 to 256 is needed")
    return lambda active: None


class Form(NamedTuple):
    """What the modifiers and constants of a ``wgmma.mma_async`` say."""

    to: str
    a_kind: str
    b_kind: str
    columns: int
    saturate: bool
    sign: int
    transposed: tuple[bool, bool]
    in_registers: bool


@operation("wgmma.mma_async", accumulates=True, own_checks=True, notes_registers=True, **TOGETHER)
def mma_async(op: Binder) -> Step:
    """D = A @ B + D, or without D if scale-d is false."""
    form = _form(op)
    d, a, b = _matrices(op, form)
    shared = [matrix for matrix in (a, b) if isinstance(matrix, SharedMatrix)]
    scale = Uniform(op, 3, "pred")
    sources = tuple(registers_of(op.operands[1])) if form.in_registers else ()
    kinds = (str(form.columns), form.to, form.a_kind, form.b_kind)
    uses = Uses(tuple(registers_of(op.operands[0])), sources, kinds)
    products, states = op.machine.extension(Products), op.machine.states

    def step(active: Active) -> None:
        products.check(active, uses)
        keep = scale(active)[:, None, None]
        total = form.sign * (a.read(active) @ b.read(active).swapaxes(1, 2))
        total += np.where(keep, d.read(active), 0)
        undefined = None
        if states.undefined or any(matrix.unset is not None for matrix in shared):
            factors = a.undefined(active), b.undefined(active).swapaxes(1, 2)
            undefined = undefined_product(*factors, d.undefined(active) & keep)
        d.write(active, encode(total, form.to, form.saturate))
        if undefined is not None:
            d.mark(active, undefined)
        products.issue(active, uses, np.concatenate([matrix.granules for matrix in shared], axis=1))

    return step


def _form(op: Binder) -> Form:
    to, a_kind, b_kind = take_types(op, 3)
    columns = _take_columns(op, to, a_kind, b_kind)
    saturate = op.flag("satfinite")
    if saturate and to != "s32":
        raise op.unknown(f"modifier .satfinite for .{to}")
    in_registers = isinstance(op.operands[1], Vector)
    sign, transposed = _immediates(op, to, a_kind, in_registers)
    return Form(to, a_kind, b_kind, columns, saturate, sign, transposed, in_registers)


def _matrices(op: Binder, form: Form) -> tuple[MatrixRegisters, MatrixRegisters | SharedMatrix, SharedMatrix]:
    """(D, A, B)"""
    depth = 32 // ELEMENTS[form.a_kind].itemsize
    accumulators = Fragment(wgmma_d, WARPGROUP, (ROWS, form.columns))
    d = MatrixRegisters.destination(op, op.items(0), accumulators, form.to)
    b = SharedMatrix(op, 2, form.columns, form.b_kind, form.transposed[1])
    if not form.in_registers:
        return d, SharedMatrix(op, 1, ROWS, form.a_kind, form.transposed[0]), b
    fragment = Fragment(partial(wgmma_a, packed=packed(form.a_kind)), WARPGROUP, (ROWS, depth))
    return d, MatrixRegisters(op, op.items(1), fragment, form.a_kind), b


def _expect_aligned(op: Binder) -> None:
    if not op.flag("sync") or not op.flag("aligned"):
        raise op.unknown(f"form of {op.opcode} without .sync.aligned")


def _take_columns(op: Binder, to: str, a_kind: str, b_kind: str) -> int:
    """N, from a shape that goes with the types."""
    _expect_aligned(op)
    shape = next((re.fullmatch(r"m64n(\d+)k(\d+)", word) for word in op.modifiers), None)
    if shape is None or not same_family(to, a_kind, b_kind) or to == "f64":
        raise op.unknown(f"matrix product {op.instruction.text!r}")
    op.modifiers.remove(shape[0])
    columns, depth = int(shape[1]), int(shape[2])
    step = 16 if to == "s32" and columns > 32 else 8
    if depth != 32 // ELEMENTS[a_kind].itemsize or columns % step or not 8 <= columns <= 256:
        raise op.unknown(f"shape {shape[0]} for .{a_kind}")
    return columns


def _immediates(op: Binder, to: str, a_kind: str, in_registers: bool) -> tuple[int, tuple[bool, bool]]:
    """(Sign of the product, whether A and B are transposed) from the operands after scale-d."""
    given = [op.constant(index) for index in range(4, len(op.operands))]
    scales = 0 if to == "s32" else 2
    transposes = (1 if in_registers else 2) if a_kind in ("f16", "bf16") else 0
    if len(given) != scales + transposes:
        raise op.unknown(f"number of operands of {op.opcode}")
    if any(value not in (1, -1) for value in given[:scales]) or not {*given[scales:]} <= {0, 1}:
        raise op.unknown(f"constants of {op.opcode}")
    sign = given[0] * given[1] if scales else 1
    turned = [bool(value) for value in given[scales:]]
    return sign, tuple(([False] * 2 + turned)[-2:])


class Uniform:
    """An operand that all threads of a warpgroup must agree on."""

    def __init__(self, op: Binder, index: int, kind: str) -> None:
        self.operand, self.states = op.operands[index], op.machine.states
        if kind == "pred":
            self.values, self.negated = op.machine.predicate(self.operand, op.instruction)
        else:
            self.values, self.negated = op.source(index, kind), False

    def __call__(self, active: Active) -> np.ndarray:
        """The values, shape (warpgroups,)."""
        for register in registers_of(self.operand):
            self.states.reject(register, active, "a descriptor or scale of wgmma")
        values = active.gather(self.values).reshape(-1, WARPGROUP)
        differing = values != values[:, :1]
        if differing.any():
            raise DivergenceError(
                f"{self.operand} differs among the threads of a warpgroup",
                lane=int(active.indices[np.flatnonzero(differing)[0]]),
            )
        return values[:, 0] ^ self.negated if self.negated else values[:, 0]


class SharedMatrix:
    """An operand in shared memory, given by a descriptor.

    Attributes
    ----------
    granules : ndarray, shape (warpgroups, n)
        What the latest read holds.
    unset : ndarray of bool, shape (warpgroups, extent, depth), or None
        Which of the elements just read have bytes that nothing has written.
    """

    def __init__(self, op: Binder, index: int, extent: int, kind: str, transposed: bool) -> None:
        self.instruction = op.instruction
        self.descriptor = Uniform(op, index, "b64")
        self.extent, self.kind, self.transposed = extent, kind, transposed
        self.shape = (extent, 32 // ELEMENTS[kind].itemsize)
        self.reads = op.machine.extension(AsyncReads)
        self.granules: np.ndarray | None = None
        self.unset: np.ndarray | None = None

    def read(self, active: Active) -> np.ndarray:
        """The matrices as float64, shape (warpgroups, extent, depth)."""
        warpgroups = active.groups(WARPGROUP)
        given = decode(self.descriptor(active))
        try:
            check(given, self.transposed)
        except PtxError as fault:
            fault.lane = int(warpgroups[fault.lane]) * WARPGROUP
            raise
        positions = self.reads.place(chunk_addresses(given, self.extent, self.transposed), warpgroups)
        self.granules = self.reads.start(self.instruction, positions, warpgroups)
        region, places = self.reads.region, positions.reshape(-1)
        self.unset = None
        if region.initialised(places, CHUNK) is not None:
            self.unset = self._arranged(self._unset(places))
        values = region.read(places, CHUNK).view(ELEMENTS[self.kind])
        return decode_elements(self._arranged(values), self.kind)

    def _arranged(self, elements: np.ndarray) -> np.ndarray:
        """Elements in the order of their chunks to (warpgroups, extent, depth)."""
        if self.transposed:
            return elements.reshape(-1, self.shape[1], self.shape[0]).swapaxes(1, 2)
        return elements.reshape(-1, *self.shape)

    def _unset(self, places: np.ndarray) -> np.ndarray:
        size = ELEMENTS[self.kind].itemsize
        unset = np.zeros((places.size, CHUNK // size), bool)
        for element in range(CHUNK // size):
            known = self.reads.region.initialised(places + element * size, size)
            if known is not None:
                unset[:, element] = ~known
        return unset

    def undefined(self, active: Active) -> np.ndarray:
        if self.unset is not None:
            return self.unset
        return np.zeros((active.count // WARPGROUP, *self.shape), bool)
