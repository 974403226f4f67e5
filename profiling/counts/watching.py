"""What is looked at of sampled blocks while they execute, and what of them need not be carried out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from profiling.counts.program_slice import is_executed, only_moves_data
from tests.ptx.counts import SECTOR, Counts, Traffic
from tests.ptx.lanes import Active
from tests.ptx.machine import Machine
from tests.ptx.memory import GLOBAL_SPACING_BITS
from tests.ptx.program import Program
from tests.ptx.races import Access
from tests.ptx.region import Region
from tests.ptx.registry import Step
from tests.ptx.scheduler import Scheduler
from tests.ptx.syntax import Instruction, Register

FIRST, EVERY = 8, 11  # executions of an instruction that are looked at; 11 shares no factor with most windows


@dataclass
class Sample:
    """What sampled blocks did.

    Attributes
    ----------
    blocks, warps : int
        How many were executed, and warps of each.
    executions : Counter of Instruction to warps
    traffic : dict of (Instruction, state space) to Traffic
        As if every execution had been looked at.
    loaded_sectors, distinct_sectors : int
        Of those looked at: asked for by loads, and different ones of each block.
    trace : list of int
        Segments of the program that one warp went through.
    visits : dict of int to array
        How often each warp of a block went through a segment, over all blocks.
    """

    program: Program
    blocks: int
    warps: int
    executions: Counter[Instruction] = field(default_factory=Counter)
    traffic: dict[tuple[Instruction, str], Traffic] = field(default_factory=dict)
    loaded_sectors: int = 0
    distinct_sectors: int = 0
    trace: list[int] = field(default_factory=list)
    visits: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def reuse(self) -> float:
        """Sectors asked for over different ones: what a first-level cache that keeps them saves."""
        return self.loaded_sectors / self.distinct_sectors if self.distinct_sectors else 1.0


@dataclass(slots=True)
class Tally:
    """Executions of an instruction, their warps, and the warps of those that were taken."""

    executions: int = 0
    warps: int = 0
    taken: int = 0

    def takes(self, warps: int) -> bool:
        """Whether the next execution, by `warps`, is among those looked at."""
        self.executions += 1
        self.warps += warps
        if self.executions > FIRST and self.executions % EVERY:
            return False
        self.taken += warps
        return True

    @property
    def scale(self) -> float:
        return self.warps / self.taken if self.taken else 1.0


class Watch:
    """Looks at executions: all counted, some of them also for their traffic."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.carried_out: dict[Instruction, Tally] = {}
        self.seen: dict[Instruction, Tally] = {}
        self.sectors: list[np.ndarray] = []
        self.loaded = 0
        self.block_of_lane = np.zeros(0, np.int64)

    def install(self, machine: Machine, scheduler: Scheduler, needed: set[Register], sample: Sample) -> None:
        """Replace the steps of instructions that need not be carried out, or not always."""
        self.block_of_lane = machine.block_of_lane
        lane = machine.width * (machine.blocks // 2)
        for segment in scheduler.segments:
            for number, instruction in enumerate(segment.instructions):
                if not is_executed(instruction, needed):
                    segment.steps[number] = _nothing
                elif only_moves_data(instruction, needed):
                    segment.steps[number] = self._thinned(instruction, segment.steps[number])
            segment.run = _traced(segment.run, segment.index, lane, sample)

    def _thinned(self, instruction: Instruction, step: Step) -> Step:
        tally = self.carried_out[instruction] = Tally()

        def run(active: Active) -> None:
            if tally.takes(active.warps):
                step(active)

        return run

    def observe(
        self, instruction: Instruction, region: Region, lanes: Active, positions: np.ndarray, size: int,
        access: Access,
    ) -> None:  # fmt: skip
        """As `Counts.observe`, of some executions, and note which sectors of which block are loaded."""
        if region.space not in ("global", "shared"):
            return
        tally = None if instruction in self.carried_out else self.seen.setdefault(instruction, Tally())
        if tally and not tally.takes(lanes.warps):
            return
        traffic = self.counts.traffic.get(instruction, {}).get("shared")
        before = traffic.wavefronts if traffic else 0
        self.counts.observe(instruction, region, lanes, positions, size, access)
        if region.space == "shared" and size >= 8 and not access.writes:
            traffic = self.counts.traffic[instruction]["shared"]
            traffic.wavefronts -= (traffic.wavefronts - before) * paired(lanes, positions) / 2
        if region.space == "global" and not access.writes:
            number = int(region.base >> GLOBAL_SPACING_BITS) << 52
            places = self.block_of_lane[lanes.indices] << 36 | positions // SECTOR | number
            self.sectors.append(np.unique(places))
            self.loaded += np.unique((lanes.indices // 32 << 40) | positions // SECTOR).size

    def finish(self, scheduler: Scheduler, sample: Sample) -> None:
        """Put what was counted into the sample."""
        for segment in scheduler.segments:
            for instruction in segment.instructions:
                if instruction.line and segment.warps:
                    sample.executions[instruction] = segment.warps
        for instruction, spaces in self.counts.traffic.items():
            tally = self.carried_out.get(instruction) or self.seen[instruction]
            for space, seen in spaces.items():
                sample.traffic[instruction, space] = _scaled(seen, tally.scale)
        sample.loaded_sectors = self.loaded
        sample.distinct_sectors = np.unique(np.concatenate(self.sectors)).size if self.sectors else 0


def paired(lanes: Active, positions: np.ndarray) -> float:
    """The share of warps in which all lanes n and n ^ 1, or all n and n ^ 2, read the same place.

    Their loads of 8 and 16 bytes take half the passes: NVIDIA's developer forum, thread 77228, of compute
    capability 7.x; taken to hold for later ones. The executor's own counts leave it out.
    """
    place = np.full(lanes.mask.size, -1, np.int64)
    place[lanes.indices] = positions
    warps = place.reshape(-1, 8, 2, 2)
    pairs = [(warps, warps[:, :, :, ::-1]), (warps, warps[:, :, ::-1])]
    same = [((a == b) | (a < 0) | (b < 0)).all(axis=(1, 2, 3)) for a, b in pairs]
    active = (warps >= 0).any(axis=(1, 2, 3))
    return float(np.count_nonzero((same[0] | same[1]) & active) / np.count_nonzero(active))


def _nothing(active: Active) -> None:
    pass


def _traced(run: Callable, index: int, lane: int, sample: Sample) -> Callable:
    visits = sample.visits[index] = np.zeros(sample.warps, np.int64)

    def traced(active: Active) -> int | None:
        if active.mask[lane]:
            sample.trace.append(index)
        visits[...] += active.mask.reshape(sample.blocks, sample.warps, 32).any(2).sum(0)
        return run(active)

    return traced


def _scaled(seen: Traffic, scale: float) -> Traffic:
    numbers = (seen.requests, seen.bytes, seen.sectors, seen.wavefronts, seen.phases)
    return Traffic(seen.space, *(number * scale for number in numbers))
