"""Functions that a kernel calls but whose code comes from NVIDIA's device library: what they do here.

``vprintf`` prints nothing. The two functions of cooperative groups make a barrier of the whole grid.
"""

from __future__ import annotations

import numpy as np

from ..lanes import Active
from ..registry import Binder, Step

PRINT, GRID_HANDLE, GRID_BARRIER = "vprintf", "cudaCGGetIntrinsicHandle", "cudaCGSynchronize"


def call_external(op: Binder) -> Step:
    """The step for a call of a function without a body."""
    name, machine = op.instruction.callee, op.machine
    if name not in (PRINT, GRID_HANDLE, GRID_BARRIER):
        raise op.unknown(f"function {name!r}: the text has no body for it")
    result = op.instruction.results[0].variable
    frame = machine.memory.spaces["frame"].region
    value = np.uint64(name == GRID_HANDLE).tobytes()[: result.size]

    def step(active: Active) -> int | None:
        frame.fill(machine.program.offsets[result], value)
        if name != GRID_BARRIER:
            return op.following
        return machine.scheduler.barriers.arrive_in_grid(op.instruction, active, op.following)

    return step
