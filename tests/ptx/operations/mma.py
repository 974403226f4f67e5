"""``mma.sync``: matrix products of a warp, with all three matrices in registers."""

from __future__ import annotations

import re
from functools import partial

from ..fragments import Fragment, mma_a8, mma_a16, mma_b, mma_c
from ..lanes import Active
from ..matrix_arithmetic import MatrixRegisters, encode, packed, same_family, take_types, undefined_product
from ..registry import Binder, Step, operation

# Shapes for each type of A.
SHAPES = {
    "f16": ("m16n8k8", "m16n8k16"),
    "bf16": ("m16n8k8", "m16n8k16"),
    "tf32": ("m16n8k4", "m16n8k8"),
    "s8": ("m8n8k16", "m16n8k16", "m16n8k32"),
    "u8": ("m8n8k16", "m16n8k16", "m16n8k32"),
    "e4m3": ("m16n8k16", "m16n8k32"),
    "e5m2": ("m16n8k16", "m16n8k32"),
    "f64": ("m8n8k4", "m16n8k4", "m16n8k8", "m16n8k16"),
}


@operation("mma.sync", group=32, whole=True, own_checks=True)
def mma(op: Binder) -> Step:
    """D = A @ B + C; A lies row by row, B column by column."""
    to, a_kind, b_kind, c_kind = take_types(op, 4)
    shape = op.take(*SHAPES.get(a_kind, ()))
    layout = (op.flag("aligned"), op.flag("row"), op.flag("col"))
    saturate = op.flag("satfinite")
    if shape is None or to != c_kind or not same_family(to, a_kind, b_kind) or layout != (True,) * 3:
        raise op.unknown(f"matrix product {op.instruction.text!r}")
    if saturate and to != "s32":
        raise op.unknown(f"modifier .satfinite for .{to}")
    m, n, k = (int(extent) for extent in re.findall(r"\d+", shape))
    a_layout = partial(mma_a16 if m == 16 else mma_a8, packed=packed(a_kind))
    a = MatrixRegisters(op, op.items(1), Fragment(a_layout, 32, (m, k)), a_kind)
    b_layout = partial(mma_b, packed=packed(b_kind))
    b = MatrixRegisters(op, op.items(2), Fragment(b_layout, 32, (k, n)), b_kind)
    accumulator = Fragment(mma_c, 32, (m, n))
    c = MatrixRegisters(op, op.items(3), accumulator, to)
    d = MatrixRegisters.destination(op, op.items(0), accumulator, to)
    states = op.machine.states

    def step(active: Active) -> None:
        total = a.read(active) @ b.read(active) + c.read(active)
        d.write(active, encode(total, to, saturate))
        if states.undefined:
            factors = a.undefined(active), b.undefined(active)
            d.mark(active, undefined_product(*factors, c.undefined(active)))

    return step
