"""What a launch did: instructions, memory transactions, divergence, as seen by warps.

Instructions are counted always, by segment, which costs next to nothing. Sectors and bank
conflicts are worked out for each access and only on request.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from .lanes import Active
from .races import Access
from .region import Region
from .syntax import Instruction

SECTOR = 32
BANKS, BANK_BYTES = 32, 4


@dataclass(slots=True)
class Traffic:
    """Memory accesses of one instruction.

    Attributes
    ----------
    requests : int
        Warps that executed it with at least one active thread.
    bytes : int
        Bytes that the threads asked for.
    sectors : int
        Outside shared memory: distinct 32-byte sectors, for each request by itself.
    wavefronts, phases : int
        In shared memory: passes needed, and passes if no bank were met twice. A request has one
        phase for accesses of up to 4 bytes, two for 8 and four for 16; threads that read the same
        word of a bank share it.
    """

    space: str
    requests: int = 0
    bytes: int = 0
    sectors: int = 0
    wavefronts: int = 0
    phases: int = 0


class Counts:
    """Counters of one launch.

    Attributes
    ----------
    barriers : int
        Warps that arrived at barriers of their block.
    divergent_branches : int
        How often the threads of a warp took both ways of a branch.
    traffic : dict of Instruction to dict of str to Traffic
        By state space, of which a copy has two.
        Empty unless `observe` was installed.
    executions : Counter of Instruction to warps
    thread_executions : Counter of Instruction to threads
    obeyed : set of Instruction
        Those with a guard, other than branches, that it let a thread execute.
    """

    def __init__(self) -> None:
        self.barriers = 0
        self.divergent_branches = 0
        self.traffic: dict[Instruction, dict[str, Traffic]] = {}
        self.executions: Counter[Instruction] = Counter()
        self.thread_executions: Counter[Instruction] = Counter()
        self.obeyed: set[Instruction] = set()

    def diverged(self, before: np.ndarray, taken: np.ndarray) -> None:
        """Count the warps in which some, but not all, of the lanes `before` are `taken`."""
        some = taken.reshape(-1, 32).any(axis=1)
        rest = (before & ~taken).reshape(-1, 32).any(axis=1)
        self.divergent_branches += int(np.count_nonzero(some & rest))

    def executed(self, instructions: list[Instruction], warps: int, threads: int) -> None:
        """Add executions of a segment."""
        for instruction in instructions if warps else ():
            self.executions[instruction] += warps
            self.thread_executions[instruction] += threads

    def observe(
        self,
        instruction: Instruction,
        region: Region,
        lanes: Active,
        positions: np.ndarray,
        size: int,
        access: Access,
    ) -> None:
        """Note one access; `access.Memory` calls this if it is its observer."""
        traffic = self._traffic(instruction, region)
        traffic.requests += lanes.warps
        traffic.bytes += lanes.count * size
        if region.space == "shared":
            wavefronts, phases = bank_passes(lanes.indices, positions, size)
            traffic.wavefronts += wavefronts
            traffic.phases += phases
        else:
            traffic.sectors += sectors(lanes.indices, positions)

    def observe_bulk(
        self, instruction: Instruction, region: Region, positions: np.ndarray, size: int
    ) -> None:
        """Note one request of a bulk copy, of `size` bytes at each of the positions in global memory."""
        traffic = self._traffic(instruction, region)
        traffic.requests += 1
        traffic.bytes += positions.size * size
        traffic.sectors += sectors(np.zeros(1, np.int64), positions)

    def _traffic(self, instruction: Instruction, region: Region) -> Traffic:
        by_space = self.traffic.setdefault(instruction, {})
        return by_space.setdefault(region.space, Traffic(region.space))


def sectors(lanes: np.ndarray, positions: np.ndarray) -> int:
    """Distinct 32-byte sectors, counted for each warp, of aligned accesses."""
    return np.unique((lanes // 32 << 40) | positions // SECTOR).size


def bank_passes(lanes: np.ndarray, positions: np.ndarray, size: int) -> tuple[int, int]:
    """(Passes through the banks of shared memory, least possible number of passes)."""
    words = max(size // BANK_BYTES, 1)
    phase = lanes // (32 // words)
    word = (positions // BANK_BYTES)[:, None] + np.arange(words)
    distinct = np.unique(((phase[:, None] << 40) | word).reshape(-1))
    banks = (distinct >> 40) * BANKS + distinct % BANKS
    bank, met = np.unique(banks, return_counts=True)
    starts = np.flatnonzero(np.r_[True, np.diff(bank // BANKS) != 0])
    return int(np.maximum.reduceat(met, starts).sum()), starts.size
