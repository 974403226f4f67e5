"""`gpuconv verify`: every algorithm of each engine on small problems, against the definition.

The reference is a plain sum (or maximum) over taps in NumPy and float64, and shares nothing with the kernels,
not even the shape arithmetic. The data are small integers, so every sum is exact and equality is asserted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

import gpuconv
from gpuconv.algorithm import Algorithm, refusal
from gpuconv.call import understand
from gpuconv.commands.environment import DEVICES, CommandError, Cpu
from gpuconv.commands.reference import avg_pool, convolve, max_pool
from gpuconv.spec import Dtype
from gpuconv.spec.dtypes import BFLOAT16, FLOATS
from gpuconv.spec.pool import POOLED

NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Problem:
    """One call. `special` values are strewn over the input; `reversed` gives it negative strides."""

    function: str
    shape: tuple[int, ...]
    weight: tuple[int, ...] | None = None
    bias: bool = False
    special: tuple[float, ...] = ()
    reversed: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        parameters = [f"{name}={value}" for name, value in self.parameters.items()]
        extras = [name for name in ("bias", "reversed") if getattr(self, name)]
        special = [f"with {value}" for value in self.special]
        weight = [f"weight {self.weight}"] if self.weight else []
        return " ".join([self.function, f"input {self.shape}", *weight, *extras, *special, *parameters])


def conv(shape, weight, *, bias=False, special=(), reversed=False, **parameters) -> Problem:
    return Problem("conv2d", shape, weight, bias, special, reversed, parameters)


def pool(function, shape, *, special=(), reversed=False, **parameters) -> Problem:
    return Problem(function, shape, None, False, special, reversed, parameters)


CONVOLUTIONS = (
    conv((2, 3, 7, 9), (4, 3, 3, 3)),
    conv((2, 3, 7, 9), (4, 3, 3, 3), padding=1, bias=True),
    conv((1, 2, 12, 11), (3, 2, 3, 2), stride=(2, 3), padding=((0, 2), (3, 1))),
    conv((1, 3, 13, 14), (2, 3, 3, 3), dilation=(2, 3), padding=2),
    conv((2, 6, 8, 8), (4, 3, 3, 3), groups=2, padding="same", bias=True),
    conv((2, 5, 9, 8), (10, 1, 3, 3), groups=5, padding=1, stride=2),
    conv((2, 33, 6, 5), (70, 33, 1, 1), bias=True),
    conv((1, 4, 9, 9), (5, 4, 1, 1), stride=2, padding=1),
    conv((1, 1, 20, 18), (2, 1, 7, 5), stride=2, padding="same"),
    conv((1, 2, 3, 4), (2, 2, 3, 4), padding="full"),
    conv((2, 17, 10, 37), (19, 17, 3, 3), padding=1),
    conv((3, 1, 28, 28), (4, 1, 3, 3)),
    conv((3, 9, 40), (2, 3, 3, 3), padding=1),
    conv((0, 3, 7, 9), (4, 3, 3, 3)),
    conv((1, 0, 4, 4), (3, 0, 3, 3), bias=True),
    conv((2, 3, 8, 9), (4, 3, 3, 3), padding=1, reversed=True),
    conv((2, 3, 24, 24), (4, 3, 3, 3), padding=1, special=(NAN, INF, -INF)),
)
POOLS = (
    *(
        problem
        for function in ("max_pool2d", "avg_pool2d")
        for problem in (
            pool(function, (2, 3, 8, 10), kernel_size=2),
            pool(function, (2, 3, 9, 40), kernel_size=3, stride=2, padding=1),
            pool(function, (1, 2, 9, 8), kernel_size=(3, 2), stride=(3, 1), padding=((1, 0), (0, 1))),
            pool(function, (1, 2, 10, 11), kernel_size=3, stride=2, padding=1, ceil_mode=True),
            pool(function, (2, 4, 7, 7), kernel_size=7),
            pool(function, (3, 9, 8), kernel_size=3, stride=1, padding="same", reversed=True),
            pool(function, (0, 3, 8, 8), kernel_size=2),
            pool(function, (2, 2, 16, 16), kernel_size=3, stride=2, special=(NAN, INF, -INF)),
        )
    ),
    pool("max_pool2d", (2, 3, 9, 10), kernel_size=3, stride=2, padding=1, return_indices=True),
    pool("max_pool2d", (1, 2, 12, 13), kernel_size=3, dilation=(2, 3), padding=1, return_indices=True),
    pool("max_pool2d", (1, 2, 12, 12), kernel_size=2, return_indices=True, special=(NAN, -INF)),
    pool("max_pool2d", (1, 2, 1, 1), kernel_size=2, dilation=2, padding=1, return_indices=True),
    pool("avg_pool2d", (2, 3, 9, 10), kernel_size=3, stride=2, padding=1, count_include_pad=False),
    pool("avg_pool2d", (2, 3, 9, 10), kernel_size=(4, 3), padding=1, divisor_override=-5),
    pool("avg_pool2d", (1, 1, 5, 6), kernel_size=3, stride=2, padding=1, ceil_mode=True, divisor_override=7),
    pool("avg_pool2d", (1, 1, 5, 6), kernel_size=3, stride=2, ceil_mode=True, count_include_pad=False),
)


def verify(device: str = "all") -> int:
    """Check the algorithms of one device, or of all that are present; returns exit code 0, or 1 on failure.

    Raises
    ------
    CommandError
        If the device that was asked for is missing.
    """
    failures = 0
    for name in DEVICES if device == "all" else (device,):
        try:
            opened = DEVICES[name]()
        except CommandError as error:
            if device != "all":
                raise
            print(f"{name}  skipped: {error}")
            continue
        for line, failed in _check_engine(opened):
            print(line, flush=True)
            failures += failed
    print("FAILED" if failures else "all checks passed")
    return 1 if failures else 0


def _check_engine(device: Cpu) -> Iterator[tuple[str, bool]]:
    """(line, failed) of each algorithm and dtype, and of each problem that fails."""
    known = [dtype for dtype in POOLED if dtype != BFLOAT16 or find_spec("ml_dtypes")]
    for room, dtypes, problems in (("conv", FLOATS, CONVOLUTIONS), ("pool", known, POOLS)):
        for algorithm in device.engine.ALGORITHMS[room]:
            for dtype in dtypes:
                yield from _check_algorithm(device, algorithm, dtype, problems)


def _check_algorithm(
    device: Cpu, algorithm: Algorithm, dtype: Dtype, problems: Sequence[Problem]
) -> Iterator[tuple[str, bool]]:
    label = f"{device.name:<5} {algorithm.name:<16} {dtype:<8}"
    passed, declined = 0, 0
    for problem in problems:
        input, rest = arrays(problem, dtype)
        on_device = _put(device, problem, input, rest)
        call = understand(getattr(gpuconv, problem.function), *on_device, **problem.parameters)
        if refusal(algorithm, call.spec, call.layouts, call.device) is not None:
            declined += 1
            continue
        error = _difference(device, algorithm, problem, on_device, (input, *rest))
        if error is None:
            passed += 1
        else:
            yield f"{label} FAILED  {problem}: {error}", True
    if passed:
        yield f"{label} ok      {passed} problems" + (f", {declined} declined" if declined else ""), False
    elif declined == len(problems):
        yield f"{label} -       declines every problem", False


def arrays(problem: Problem, dtype: Dtype) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """The input, and the weight and bias of a convolution: integers from -4 to 4, the same in each run."""
    random = np.random.default_rng(20)

    def integers(shape: tuple[int, ...]) -> np.ndarray:
        return random.integers(-4, 5, shape).astype(dtype.numpy)

    input = integers(problem.shape)
    for number, value in enumerate(problem.special):
        input.flat[7 + 13 * number :: 101] = value
    if problem.weight is None:
        return input, []
    return input, [integers(problem.weight), integers(problem.weight[:1]) if problem.bias else None]


def _put(device: Cpu, problem: Problem, *hosts: Any) -> list[Any]:
    """The arrays of a problem on a device."""
    input, rest = hosts
    x = device.put(input)
    others = [None if array is None else device.put(array) for array in rest]
    return [x[..., ::-1, ::-1] if problem.reversed else x, *others]


def _difference(
    device: Cpu, algorithm: Algorithm, problem: Problem, on_device: Sequence[Any], hosts: Sequence[Any]
) -> str | None:
    """What is wrong with the algorithm's result, or None."""
    function = getattr(gpuconv, problem.function)
    input, *rest = hosts
    if problem.reversed:
        input = input[..., ::-1, ::-1]
    try:
        got = function(*on_device, **problem.parameters, algorithm=algorithm.name)
        results = [device.get(array) for array in (got if isinstance(got, tuple) else (got,))]
    except (
        Exception
    ) as error:  # whatever a kernel or a driver raises is the finding, and the next one follows
        return f"{type(error).__name__}: {error}"
    reference = {"conv2d": convolve, "max_pool2d": max_pool, "avg_pool2d": avg_pool}[problem.function]
    expected = reference(input, *rest, **problem.parameters)
    return next(filter(None, map(compare, results, expected)), None)


def compare(got: np.ndarray, expected: np.ndarray) -> str | None:
    """The first place where two arrays differ, or None; a NaN equals a NaN."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return f"{got.dtype} {got.shape} instead of {expected.dtype} {expected.shape}"
    wrong = (got != expected) & ~(np.isnan(got) & np.isnan(expected))
    if not wrong.any():
        return None
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{wrong.sum()} of {wrong.size} wrong, at {place} {got[place]} instead of {expected[place]}"
