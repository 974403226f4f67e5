"""What the compiled kernels do on representative problems, counted without a GPU by the PTX executor.

Each algorithm of the engine plans each problem that it supports; the launches are carried out by the executor
of `tests.ptx` instead of the driver, and the report of a kernel's first launch on each problem is kept. So a
new algorithm needs no change here, at most a problem that reaches all of its kernels.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from unittest.mock import patch

import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.conv import depthwise_window, implicit_gemm, packed_gemm
from gpuconv.cuda.conv.depthwise_window import tiles as window_tiles
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import ConvSpec, Spec
from gpuconv.spec.dtypes import FLOATS, SIXTEEN_BITS
from profiling.counts.captured import SCRATCH, Captured, Operand, launches, supported
from profiling.counts.problems import GEMM_CHOICES, PACKED_CHOICES, PROBLEMS, WINDOW_CHOICES, variants
from profiling.workloads import operands
from tests import ptx
from tests.ptx.machine_code import ptx_main_loop
from tests.ptx.report import Line, Report


@dataclass(frozen=True)
class Measured:
    """A kernel's launch on a problem, what the executor counted, and the lines of its main loop."""

    spec: Spec
    launch: Launch
    report: Report
    loop_lines: frozenset[int]

    @functools.cached_property
    def counts(self) -> dict[str, float | int | None]:
        """Numbers for a row; sectors and banks are None where there is no access of that kind.

        A request is a warp's load or store. Its ideal is the sectors of 32 bytes that the bytes asked for
        fill. The bank conflict degree is passes through the banks over the least possible: 1 is free.
        """
        traffic = [line for line in self.report.lines if line.traffic is not None]
        accesses = [line for line in traffic if line.traffic.space == "global"]
        loads = [line for line in accesses if line.opcode.split(".")[0] in ("ld", "ldu", "cp")]
        stores = [line for line in accesses if line not in loads]
        shared = [line for line in traffic if line.traffic.space == "shared"]
        in_loop = [line for line in shared if line.line in self.loop_lines]
        return {
            "sectors_per_request": _per_request(accesses),
            "load_sectors": _per_request(loads), "load_sectors_ideal": _ideal(loads),
            "store_sectors": _per_request(stores), "store_sectors_ideal": _ideal(stores),
            "bank_conflict_degree": _conflicts(shared),
            "loop_bank_conflict_degree": _conflicts(in_loop),
            "divergent_branches": self.report.divergent_branches, "barriers": self.report.barriers,
        }  # fmt: skip


def _per_request(lines: Iterable[Line]) -> float | None:
    return _ratio((line.traffic.sectors, line.traffic.requests) for line in lines)


def _ideal(lines: Iterable[Line]) -> float | None:
    """A request takes one sector at least."""
    return _ratio(
        (max(line.traffic.bytes / 32, line.traffic.requests), line.traffic.requests) for line in lines
    )


def _conflicts(lines: Iterable[Line]) -> float | None:
    return _ratio((line.traffic.wavefronts, line.traffic.phases) for line in lines)


def _ratio(pairs: Iterable[tuple[float, float]]) -> float | None:
    above, below = np.sum([(0, 0), *pairs], axis=0)
    return round(float(above / below), 4) if below else None


def measure(arch: str, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[Measured]:
    """Each kernel whose name is `wanted`, on each problem of each dtype that an algorithm takes it for."""
    for spec, captured in _planned(PROBLEMS):
        if any(wanted(each.launch.kernel.name) for each in captured):
            first: dict[str, Measured] = {}
            for each, report in zip(captured, execute(spec, captured, arch), strict=True):
                found = Measured(spec, each.launch, report, _loop_lines(each.launch, arch))
                first.setdefault(each.launch.kernel.name, found)
            yield from (found for name, found in first.items() if wanted(name))


@functools.cache
def _planned(problems: Sequence[Spec]) -> list[tuple[Spec, list[Captured]]]:
    """Every problem with the launches of each algorithm that takes it."""
    return [*_chosen(problems), *_forced()]


def _chosen(problems: Sequence[Spec]) -> Iterator[tuple[Spec, list[Captured]]]:
    for problem, dtype in product(problems, (*FLOATS, *SIXTEEN_BITS)):
        if not isinstance(problem, ConvSpec) or dtype in FLOATS:
            for spec in variants(replace(problem, dtype=dtype)):
                yield from ((spec, launches(spec, algorithm)) for algorithm in supported(spec))


def _forced() -> Iterator[tuple[Spec, list[Captured]]]:
    """Problems with a tile that their algorithm takes for larger ones."""
    for spec, choice in GEMM_CHOICES:
        yield spec, _with("implicit_gemm.plan.choose", choice, spec, implicit_gemm.ALGORITHM)
    for spec, choice in PACKED_CHOICES:
        yield spec, _with("packed_gemm.plan.choose", choice, spec, packed_gemm.ALGORITHM)
    for spec, shape in WINDOW_CHOICES:
        choice = shape, window_tiles.choose(spec, shape, H200)
        yield spec, _with("depthwise_window.plan.tile_of", choice, spec, depthwise_window.ALGORITHM)


def _with(chooser: str, choice: object, spec: Spec, algorithm: Algorithm) -> list[Captured]:
    """The launches with a tile that the algorithm takes for large problems alone."""
    with patch(f"gpuconv.cuda.conv.{chooser}", lambda *problem: choice):
        return launches(spec, algorithm)


def execute(spec: Spec, captured: Sequence[Captured], arch: str) -> list[Report]:
    """Carry out the launches of a call, one after the other, on random operands."""
    memory = dict(zip(("x", "w"), operands(spec), strict=False))
    for array in memory.values():
        array.flags.writeable = False
    return [carry_out(each, memory, arch) for each in captured]


def carry_out(each: Captured, memory: dict[str, np.ndarray], arch: str) -> Report:
    """One launch on arrays by their names; those that are not there yet are made."""

    def pointer(operand: Operand | None) -> object:
        if operand is None or not operand.nbytes:
            return 0
        array = memory.setdefault(operand.name, poisoned(operand.shape, operand.dtype))
        fresh = not operand.is_input and operand.name != SCRATCH  # which one kernel writes and another reads
        return ptx.out(array) if fresh and not operand.begin else ptx.pointer(array, operand.begin)

    return executable(each.launch.kernel, arch).launch(
        each.launch.blocks, each.launch.kernel.threads, *map(pointer, each.operands), *each.launch.values,
        shared_bytes=each.launch.shared_bytes, count_memory=True,
    )  # fmt: skip


@functools.cache
def executable(kernel: Kernel, arch: str) -> ptx.Kernel:
    """A kernel that the executor can carry out."""
    return ptx.Kernel(kernel.ptx(arch))


def poisoned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An output as kernels find it: full of what none of them leaves there by mistake."""
    return np.full(shape, np.nan if dtype.kind in "fV" else -77, dtype)


def _loop_lines(launch: Launch, arch: str) -> frozenset[int]:
    instructions = executable(launch.kernel, arch).program.entry.instructions
    return frozenset(each.line for each in ptx_main_loop(instructions))
