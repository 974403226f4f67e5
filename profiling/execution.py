"""What the compiled kernels do on representative problems, counted without a GPU by the PTX executor.

Each algorithm of the engine plans each problem that it supports; the launches are carried out by the executor
of `tests/ptx` instead of the driver, and the report of a kernel's first launch on each problem is kept. So a
new algorithm needs no change here, at most a problem that reaches all of its kernels.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from unittest.mock import patch

import numpy as np

from gpuconv import cuda as engine
from gpuconv.algorithm import Algorithm
from gpuconv.arrays import NUMPY
from gpuconv.cuda.conv import depthwise as conv_depthwise
from gpuconv.cuda.conv import depthwise_window
from gpuconv.cuda.conv import implicit_gemm as conv_implicit_gemm
from gpuconv.cuda.conv.depthwise import tiles as strips
from gpuconv.cuda.conv.depthwise_window import tiles as window_tiles
from gpuconv.cuda.conv.implicit_gemm.tiles import TILES, Choice
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import FLOAT_DTYPES, POOL_DTYPES, ConvSpec
from profiling.loops import Step, main_loop
from profiling.reference import operands
from profiling.workloads import Spec, convolution, pool
from tests.cuda import execution
from tests.ptx import Report
from tests.ptx.report import Line, class_of
from tests.ptx.syntax import Instruction


def depthwise_problems() -> Iterator[ConvSpec]:
    """Problems with each kernel and stride that is compiled in, for wide and narrow lanes, and another."""
    for extent in (3, 5, 7):
        yield from (convolution(1, 4, (16, columns), 4, extent, groups=4) for columns in (16, 64))
        yield convolution(1, 4, (16, 64), 4, extent, stride=2, groups=4)
        unaligned = ((extent // 2 - 1, extent // 2),) * 2
        yield replace(convolution(1, 4, (16, 32), 4, extent, stride=2, groups=4), pads=unaligned)
    yield convolution(1, 4, (16, 64), 4, 1, groups=4)


# Small, and aligned: whole tiles, rows that begin with a sector.
PROBLEMS: tuple[Spec, ...] = (
    convolution(1, 8, (16, 64), 32, 3),
    convolution(1, 4, 16, 32, 3),  # a warp spans two rows
    convolution(1, 4, (16, 128), 32, 3, stride=2),
    convolution(1, 8, (16, 64), 4, 3),
    convolution(1, 4, (16, 64), 4, 3, groups=4),
    *depthwise_problems(),
    *(convolution(1, 2, (16, 64), K, 5, stride) for K in (8, 16, 32) for stride in (1, 2)),  # of few channels
    *(convolution(1, 1, (32, 192), 1, 9, stride) for stride in (1, 2)),
    pool("max", 1, 4, 64, 3, stride=1, pad=1),
    pool("max", 1, 4, 64, 2),
    pool("avg", 1, 4, 64, 3, stride=1, pad=1),
    pool("avg", 1, 4, 64, 2),
    *(pool(op, 1, 4, 64, 3, stride=2, pad=1) for op in ("max", "avg")),
    *(pool(op, 1, 4, 66, 3, stride=1) for op in ("max", "avg")),  # rows that begin anywhere
    *(replace(pool(op, 1, 4, 64, 3, stride=2), pads=((0, 1), (0, 1))) for op in ("max", "avg")),
    *(replace(pool(op, 1, 4, 64, 2), pads=((1, 0), (1, 0))) for op in ("max", "avg")),
    *(pool(op, 1, 32, 16, window) for op in ("max", "avg") for window in (16, 15)),  # one for each plane
    *(pool(op, 1, 4, 48, window) for op in ("max", "avg") for window in (48, 47)),
)
# One block, or a few: whole tiles, and every kernel of the implicit GEMM.
GEMM_CHOICES = tuple(
    (convolution(1, 32, (8, 32), tile.k, kernel), Choice(tile, splits))
    for tile in TILES
    for kernel, splits in ((3, 1), (1, 1), (3, 2))
)


# Whole tiles of one block, and every kernel for any depthwise window.
WINDOW_CHOICES = tuple(
    (replace(convolution(1, 4, (64, 32), 4, 9, stride, groups=4), dtype=dtype), shape)
    for dtype, shapes in depthwise_window.SHAPES.items()
    for shape in shapes
    for stride in (1, 2)
)


@dataclass(frozen=True)
class Measured:
    """A kernel's launch on a problem, what the executor counted, and the lines of its main loop."""

    spec: Spec
    launch: Launch
    report: Report
    loop_lines: frozenset[int]

    @cached_property
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
    for problem, dtype in product(PROBLEMS, POOL_DTYPES):
        if isinstance(problem, ConvSpec) and dtype not in FLOAT_DTYPES:
            continue
        for spec in variants(replace(problem, dtype=dtype)):
            algorithms = engine.CONVOLUTIONS if isinstance(spec, ConvSpec) else engine.POOLS
            for algorithm in algorithms:
                if algorithm.unsupported(spec) is None:
                    yield from _measure(arch, spec, algorithm, wanted)
    yield from _chosen(arch, wanted)
    yield from _depthwise(arch, wanted)


def _depthwise(arch: str, wanted: Callable[[str], bool]) -> Iterator[Measured]:
    """The depthwise convolution with the kernels that it takes for large problems alone."""
    algorithm = conv_depthwise.ALGORITHM
    for spec in depthwise_problems():
        with (
            patch.object(conv_depthwise, "slides", strips.is_compiled),
            patch.object(conv_depthwise, "plan", conv_depthwise.plan.__wrapped__),
        ):
            found = [*_measure(arch, spec, algorithm, wanted)]
        yield from found
    for spec, shape in WINDOW_CHOICES:
        choice = shape, window_tiles.choose(spec, shape)
        with (
            patch.object(depthwise_window, "tile_of", lambda spec, choice=choice: choice),
            patch.object(conv_depthwise, "plan", conv_depthwise.plan.__wrapped__),
        ):
            found = [*_measure(arch, spec, algorithm, wanted)]
        yield from found


def _chosen(arch: str, wanted: Callable[[str], bool]) -> Iterator[Measured]:
    """The implicit GEMM with the tiles that it takes for large problems alone."""
    for spec, choice in GEMM_CHOICES:
        with patch.object(conv_implicit_gemm, "choose", lambda *problem, choice=choice: choice):
            found = [*_measure(arch, spec, conv_implicit_gemm.ALGORITHM, wanted)]
        yield from found


def variants(spec: Spec) -> list[Spec]:
    """The spec, and a maximum with indices too."""
    if isinstance(spec, ConvSpec) or spec.op != "max":
        return [spec]
    return [spec, replace(spec, return_indices=True)]


def _measure(
    arch: str, spec: Spec, algorithm: Algorithm, wanted: Callable[[str], bool]
) -> Iterator[Measured]:
    launches: list[Launch] = []
    _call(spec, algorithm, lambda self, output, *arrays: launches.append(self))
    if not any(wanted(launch.kernel.name) for launch in launches):
        return
    reports: list[Report] = []

    def start(self: Launch, output: object, *arrays: object) -> None:
        reports.append(execution.execute(self, *arrays, arch=arch, count_memory=True))

    _call(spec, algorithm, start)
    seen = set()
    for launch, report in zip(launches, reports, strict=True):
        if wanted(launch.kernel.name) and launch.kernel.name not in seen:
            seen.add(launch.kernel.name)
            yield Measured(spec, launch, report, _loop_lines(launch, arch))


def _call(spec: Spec, algorithm: Algorithm, start: Callable[..., None]) -> None:
    """One call of the engine in which each launch is handed to `start`."""
    inputs = [execution.on_device(array) for array in operands(spec)]
    y = execution.on_device(execution.poisoned(spec.out_shape, spec.dtype), output=True)
    with patch.object(Launch, "start", start), patch.object(NUMPY, "scratch", execution.scratch):
        if isinstance(spec, ConvSpec):
            engine.conv2d(spec, *inputs, None, y, algorithm.name)
        else:
            places = execution.poisoned(spec.out_shape, "int64") if spec.return_indices else None
            engine.pool2d(spec, *inputs, y, execution.on_device(places, output=True), algorithm.name)


def _loop_lines(launch: Launch, arch: str) -> frozenset[int]:
    instructions = execution.executable(launch.kernel, arch).program.entry.instructions
    return frozenset(instructions[index].line for index in main_loop([*map(step_of, instructions)]))


def step_of(instruction: Instruction) -> Step:
    opcode = instruction.parts[0]
    ends = opcode in ("bra", "brx", "ret", "exit", "trap") and instruction.guard is None
    kind = class_of(instruction)
    if kind == "compare" and instruction.parts[-1].startswith(("f", "bf")):
        kind = "math"
    return Step(instruction.targets, not ends, kind)
