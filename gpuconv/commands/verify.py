"""`gpuconv verify`: every algorithm of each engine on small problems, against the definition.

The reference is a plain sum (or maximum) over taps in NumPy and float64, and shares nothing with the kernels,
not even the shape arithmetic. The data are small integers, so every sum is exact and equality is asserted. On
a GPU problems are added until every kernel is launched (`covering.py`).
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gpuconv.algorithm import Algorithm, refusal
from gpuconv.call import forced, understand
from gpuconv.commands.covering import ROOMS, covering, is_known
from gpuconv.commands.environment import DEVICES, CommandError, Cpu
from gpuconv.commands.problems import Problem, arrays, function_of, laid, named, of_dtype
from gpuconv.commands.reference import avg_pool, convolve, deform, input_gradient, max_pool, transpose
from gpuconv.commands.reference_gradients import (
    add_where,
    bias_gradient,
    fold,
    hand_on,
    norm,
    unfold,
    unpool,
    weight_gradient,
)
from gpuconv.commands.reference_pools import adaptive_avg_pool, adaptive_max_pool, lp_pool, min_pool
from gpuconv.spec import Dtype

REFERENCES: dict[str, Callable[..., list[np.ndarray]]] = {
    "conv2d": convolve, "conv_transpose2d": transpose, "conv2d_input": input_gradient,
    "conv2d_weight": weight_gradient, "conv2d_bias": bias_gradient,
    "deform_conv2d": deform, "max_pool2d": max_pool, "avg_pool2d": avg_pool,
    "max_unpool2d": unpool, "grad.max_pool2d": add_where, "grad.avg_pool2d": hand_on,
    "grad.adaptive_avg_pool2d": hand_on, "unfold": unfold, "fold": fold,
    "grad.lp_pool2d": norm, "min_pool2d": min_pool, "lp_pool2d": lp_pool,
    "adaptive_max_pool2d": adaptive_max_pool, "adaptive_avg_pool2d": adaptive_avg_pool,
}  # fmt: skip


class Check(NamedTuple):
    """An algorithm and what it is tried on."""

    algorithm: Algorithm
    dtype: Dtype
    problems: Sequence[Problem]


def verify(device: str = "all", algorithm: str = "", isolate: bool = False) -> int:
    """Check the algorithms of one device, or of all that are present; returns exit code 0, or 1 on failure.

    Parameters
    ----------
    device : str
        "cpu", "cuda" or "all".
    algorithm : str
        Only the one of this name.
    isolate : bool
        Each algorithm in a process of its own: on a GPU, one wrong access fails all that comes after it.

    Raises
    ------
    CommandError
        If the device that was asked for is missing, or no device has the algorithm.
    """
    begun = time.perf_counter()
    failures = checked = 0
    for name in DEVICES if device == "all" else (device,):
        try:
            opened = DEVICES[name]()
        except CommandError as error:
            if device != "all":
                raise
            print(f"{name}  skipped: {error}", flush=True)
            continue
        names = [each.name for listed in opened.engine.ALGORITHMS.values() for each in listed]
        wanted = [each for each in names if algorithm in ("", each)]
        checked += len(wanted)
        failures += _in_processes(name, wanted) if isolate else _check_device(opened, wanted)
    if algorithm and not checked:
        raise CommandError(f"no algorithm {algorithm!r}; {device} has {', '.join(names)}")
    outcome = "FAILED" if failures else "all checks passed"
    print(f"{outcome} in {time.perf_counter() - begun:.0f} s")
    return 1 if failures else 0


def _in_processes(device: str, algorithms: Sequence[str]) -> int:
    """How many of the algorithms fail, each checked in a process of its own."""
    failures = 0
    for name in algorithms:
        command = [sys.executable, "-m", "gpuconv", "verify", "--device", device, "--algorithm", name]
        status = subprocess.run(command, check=False).returncode
        failures += status != 0
        if status not in (0, 1):
            print(f"{device}  {name}  FAILED  its process ended with {status}", flush=True)
    return failures


def _check_device(device: Cpu, wanted: Sequence[str]) -> int:
    """How many problems fail."""
    checks = [*_checks(device, wanted)]
    width = max((len(each.algorithm.name) for each in checks), default=0)
    most = max((len(each.dtype) for each in checks), default=0)
    failures = 0
    for number, check in enumerate(checks, 1):
        count = f"{number}/{len(checks)}"
        label = f"{count:>7}  {device.name:<4}  {check.algorithm.name:<{width}}  {check.dtype:<{most}}  "
        failures += _check(label, device, check)
    return failures


def _check(label: str, device: Cpu, check: Check) -> int:
    """How many problems fail; prints a line, which begins before the first problem does, and one for each."""
    print(label, end="", flush=True)
    begun = time.perf_counter()
    passed = failed = 0
    for problem, error in results(device, check):
        if error is None:
            passed += 1
        else:
            print(f"{label if failed else ''}FAILED  {problem}: {error}", flush=True)
            failed += 1
    declined = len(check.problems) - passed - failed
    if passed:
        counts = f"{passed} problems" + (f", {declined} declined" if declined else "")
        seconds = f"{time.perf_counter() - begun:.1f} s"
        print(f"{label if failed else ''}ok      {counts:<26} {seconds:>7}", flush=True)
    elif not failed:
        print("-       declines every problem", flush=True)
    return failed


def _checks(device: Cpu, wanted: Sequence[str]) -> Iterator[Check]:
    added = _covering(device)
    for room, (dtypes, problems) in ROOMS.items():
        for algorithm in device.engine.ALGORITHMS[room]:
            if algorithm.name in wanted:
                for dtype in filter(is_known, [each for each in dtypes if each in algorithm.takes["dtype"]]):
                    more = added.get((algorithm.name, dtype), [])
                    listed = of_dtype(problems, dtype)
                    yield Check(algorithm, dtype, (*listed, *(each for each in more if each not in listed)))


def _covering(device: Cpu) -> Mapping[tuple[str, Dtype], list[Problem]]:
    """By algorithm and dtype, problems that launch its kernels, on a GPU."""
    found: dict[tuple[str, Dtype], list[Problem]] = {}
    if device.gpu is not None:
        for each in covering(device.engine.ALGORITHMS, device.gpu):
            found.setdefault((each.algorithm, each.dtype), []).append(each.problem)
    return found


def results(device: Cpu, check: Check) -> Iterator[tuple[Problem, str | None]]:
    """Each problem that the algorithm does not decline, with what is wrong with its result, or None."""
    for problem in check.problems:
        input, rest = arrays(problem, check.dtype)
        on_device = _put(device, problem, input, rest)
        call = understand(function_of(problem), **named(problem, on_device))
        if refusal(check.algorithm, call.spec, call.layouts, call.device) is None:
            yield problem, _difference(device, check.algorithm, problem, on_device, (input, *rest))


def _put(device: Cpu, problem: Problem, *hosts: Any) -> list[Any]:
    """The arrays of a problem on a device."""
    input, rest = hosts
    x = device.put(input)
    others = [None if array is None else device.put(array) for array in rest]
    return [laid(problem, x), *others]


def _difference(
    device: Cpu, algorithm: Algorithm, problem: Problem, on_device: Sequence[Any], hosts: Sequence[Any]
) -> str | None:
    """What is wrong with the algorithm's result, or None."""
    input, *rest = hosts
    try:
        got = forced(function_of(problem), algorithm.name, **named(problem, on_device))()
        results = [device.get(array) for array in (got if isinstance(got, tuple) else (got,))]
    except Exception as error:  # whatever a kernel or a driver raises is the finding
        return f"{type(error).__name__}: {error}"
    expected = REFERENCES[problem.function](laid(problem, input), *rest, **problem.parameters)
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
