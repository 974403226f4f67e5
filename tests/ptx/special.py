"""Special registers: one array over all lanes for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .machine import Machine


def special_registers(machine: Machine) -> dict[str, np.ndarray]:
    """All special registers of a machine, by name. ``%ctaid`` is set anew for every set of blocks."""
    thread = machine.thread_of_lane
    values: dict[str, int | np.ndarray] = {}
    x, y, _ = machine.block
    for name, index in zip("xyz", (thread % x, thread // x % y, thread // (x * y)), strict=True):
        values[f"%tid.{name}"] = index
    for axis, name in enumerate("xyz"):
        values[f"%ntid.{name}"] = machine.block[axis]
        values[f"%nctaid.{name}"] = machine.grid[axis]
        values[f"%ctaid.{name}"] = 0
        values[f"%clusterid.{name}"] = 0
        values[f"%nclusterid.{name}"] = machine.grid[axis]
        values[f"%cluster_ctaid.{name}"] = 0
        values[f"%cluster_nctaid.{name}"] = 1
    lane = thread % 32
    bit = np.uint64(1) << lane.astype(np.uint64)
    values.update(
        {
            "%laneid": lane,
            "%warpid": thread // 32,
            "%nwarpid": -(-machine.threads // 32),
            "%smid": 0,
            "%nsmid": 1,
            "%gridid": 0,
            "%lanemask_eq": bit,
            "%lanemask_lt": bit - 1,
            "%lanemask_le": bit * 2 - 1,
            "%lanemask_gt": ~(bit * 2 - 1),
            "%lanemask_ge": ~(bit - 1),
            "%dynamic_smem_size": machine.shared_bytes,
            "%total_smem_size": machine.program.layouts["shared"].bytes + machine.shared_bytes,
            "%cluster_ctarank": 0,
            "%cluster_nctarank": 1,
            "%is_explicit_cluster": 0,
        }
    )
    registers = {
        name: np.broadcast_to(np.asarray(value), machine.lanes).astype(np.uint32)
        for name, value in values.items()
    }
    for name in ("%clock", "%clock_hi"):
        registers[name] = np.zeros(machine.lanes, np.uint32)
    for name in ("%clock64", "%globaltimer"):
        registers[name] = np.zeros(machine.lanes, np.uint64)
    return registers
