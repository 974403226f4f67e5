"""`gpuconv verify`: its reference against another, and that it finds what is wrong."""

import dataclasses
import re
import subprocess
from functools import partial

import numpy as np
import pytest

import gpuconv.cpu
from gpuconv import call as calls
from gpuconv.cli import main
from gpuconv.commands import environment, reference, reference_gradients, verify
from gpuconv.commands.covering import ROOMS, Covered
from gpuconv.commands.problems import (
    BIAS_GRADIENTS,
    CONVOLUTIONS,
    DEFORMED,
    GRADIENTS,
    OPTIONS,
    POOLS,
    TRANSPOSED,
    WEIGHT_GRADIENTS,
    arrays,
    of_dtype,
)
from gpuconv.cpu.conv import direct as conv_direct
from gpuconv.cpu.pool import direct as pool_direct
from gpuconv.cpu.simd import QUADS
from gpuconv.spec.dtypes import FLOAT64
from tests import reference as other

CONVOLVED = *CONVOLUTIONS, *OPTIONS, *TRANSPOSED, *DEFORMED, *GRADIENTS, *WEIGHT_GRADIENTS, *BIAS_GRADIENTS
PROBLEMS = of_dtype((*CONVOLVED, *POOLS), FLOAT64)
MIRRORED = [problem for problem in OPTIONS if "padding_mode" in problem.parameters]
OF_FLOATS = of_dtype((*CONVOLUTIONS, *(each for each in OPTIONS if each not in MIRRORED)), FLOAT64)
GROUPED = [problem for problem in OF_FLOATS if "groups" in problem.parameters]


@pytest.mark.wide  # seconds of the compiler
def test_cpu_passes(capsys):
    assert main(["verify", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {tuple(line.split()[2:4]): line.split()[4] for line in lines[:-1]}
    assert found == {
        (algorithm.name, dtype): "ok" if QUADS or "quads" not in algorithm.name else "-"
        for room, (dtypes, _) in ROOMS.items()
        for algorithm in gpuconv.cpu.ALGORITHMS[room]
        for dtype in dtypes
        if dtype in algorithm.takes["dtype"]
    }
    assert re.fullmatch(r"all checks passed in \d+ s", lines[-1])
    assert [line.split()[0] for line in lines[:-1]] == [
        f"{number}/{len(lines) - 1}" for number in range(1, len(lines))
    ]
    assert len({line.index("  ok ") for line in lines[:-1] if "  ok " in line}) == 1  # in columns
    times = [line for line in lines if " ok " in line]
    assert all(re.search(r"\d\.\d s$", line) for line in times) and len({*map(len, times)}) == 1


def test_a_line_begins_before_its_first_problem_does(monkeypatch, capsys):
    """So what runs is seen while it compiles, and what a sanitizer reports stands below its name."""
    seen = []

    def fault(spec, compute, *arrays):
        seen.append(capsys.readouterr().out)
        compute(*arrays)

    planted(conv_direct, monkeypatch, fault)
    assert main(["verify", "--device", "cpu", "--algorithm", conv_direct.ALGORITHM.name]) == 0
    assert re.search(rf" cpu +{conv_direct.ALGORITHM.name} +float32 +$", seen[0])


def test_one_algorithm_can_be_named(capsys):
    assert main(["verify", "--device", "cpu", "--algorithm", "pool_direct"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[2] for line in lines[:-1]} == {"pool_direct"}
    assert main(["verify", "--device", "cpu", "--algorithm", "pool_perfect"]) == 2
    assert "no algorithm 'pool_perfect'; cpu has " in capsys.readouterr().err


class Crashing:
    """What `python -m gpuconv verify` is in a process of its own: the second algorithm crashes."""

    def __init__(self):
        self.asked = []

    def __call__(self, command, check):
        self.asked.append(command[1:])
        return subprocess.CompletedProcess(command, -11 if len(self.asked) == 2 else 0)


def test_a_crash_of_one_algorithm_leaves_the_others(monkeypatch, capsys):
    processes = Crashing()
    monkeypatch.setattr(verify.subprocess, "run", processes)
    assert main(["verify", "--device", "cpu", "--isolate"]) == 1
    names = [each.name for listed in gpuconv.cpu.ALGORITHMS.values() for each in listed]
    assert processes.asked == [
        ["-m", "gpuconv", "verify", "--device", "cpu", "--algorithm", name] for name in names
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"cpu  {names[1]}  FAILED  its process ended with -11"
    assert re.fullmatch(r"FAILED in \d+ s", lines[-1]) and len(lines) == 2


class OneGpu(environment.Cpu):
    """The CPU's arrays and algorithms, and a GPU to plan for."""

    gpu = "a GPU"


def test_on_a_gpu_problems_are_added_for_its_kernels(monkeypatch, capsys):
    problem = verify.Problem("conv2d", (1, 1, 5, 5), (1, 1, 2, 2))
    added = [
        Covered("conv_direct", FLOAT64, problem, frozenset({"a kernel"})),
        Covered("conv_direct", FLOAT64, CONVOLUTIONS[0], frozenset({"another"})),
    ]
    monkeypatch.setattr(verify, "covering", lambda algorithms, gpu: added if gpu == "a GPU" else [])
    monkeypatch.setitem(verify.DEVICES, "cpu", OneGpu)
    assert main(["verify", "--device", "cpu", "--algorithm", "conv_direct"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"ok      {len(OF_FLOATS)} problems" in lines[0]
    assert f"ok      {len(OF_FLOATS) + 1} problems" in lines[1]


def test_all_says_which_device_is_skipped_and_why(monkeypatch, capsys):
    def missing():
        raise verify.CommandError("no such thing here")

    monkeypatch.setitem(verify.DEVICES, "cuda", missing)
    assert main(["verify", "--algorithm", "pool_direct"]) == 0
    assert "cuda  skipped: no such thing here" in capsys.readouterr().out.splitlines()


@pytest.mark.gpu
def test_cuda_passes(capsys):
    assert main(["verify", "--device", "cuda"]) == 0


def planted(module, monkeypatch, fault=None, unsupported=None):
    """The CPU engine with this algorithm alone, for which `fault(spec, compute, *arrays)` computes."""
    honest = module.ALGORITHM

    def plan(spec, layouts, device):
        compute = honest.plan(spec, layouts, device)
        return compute if fault is None else partial(fault, spec, compute)

    faulty = dataclasses.replace(honest, plan=plan, unsupported=unsupported or honest.unsupported)
    room = "conv" if module is conv_direct else "pool"
    monkeypatch.setitem(gpuconv.cpu.ALGORITHMS, room, (faulty,))
    monkeypatch.setattr(calls, "_known", {})


def test_a_wrong_border_is_found(monkeypatch, capsys):
    def fault(spec, compute, *arrays):
        compute(*arrays)
        y = arrays[-1]
        if spec.pads != ((0, 0), (0, 0)) and y.size:
            y[0, 0, 0, 0] += 1

    planted(conv_direct, monkeypatch, fault)
    assert main(["verify", "--device", "cpu", "--algorithm", "conv_direct"]) == 1
    printed = capsys.readouterr().out
    failed = [line for line in printed.splitlines() if " FAILED " in line]
    padded = [p for p in OF_FLOATS if p.parameters.get("padding") and 0 not in p.shape]
    assert len(failed) == 2 * len(padded)  # float32 and float64
    assert any("padding=((0, 2), (3, 1))" in line and "1 of " in line for line in failed)
    assert printed.splitlines()[-1].startswith("FAILED in ")


def test_a_nan_that_is_lost_and_a_wrong_index_are_found(monkeypatch, capsys):
    def fault(spec, compute, x, y, *indices):
        compute(np.nan_to_num(x, nan=-5.0, posinf=np.inf, neginf=-np.inf), y, *indices)
        for places in indices:
            places[..., -1, -1] += 1

    planted(pool_direct, monkeypatch, fault)
    assert main(["verify", "--device", "cpu", "--algorithm", "pool_direct"]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if " FAILED " in line]
    assert any("with nan" in line for line in failed)
    assert any("return_indices=True" in line and "with" not in line for line in failed)


def test_an_exception_is_a_failure_and_the_rest_still_runs(monkeypatch, capsys):
    def fault(spec, compute, *arrays):
        if spec.groups > 1:
            raise MemoryError("no room")
        compute(*arrays)

    planted(conv_direct, monkeypatch, fault)
    assert main(["verify", "--device", "cpu", "--algorithm", "conv_direct"]) == 1
    printed = capsys.readouterr().out
    assert "groups=5 padding=1 stride=2: MemoryError: no room" in printed
    assert f"ok      {len(OF_FLOATS) - len(GROUPED)} problems" in printed


def test_declined_problems_are_counted(monkeypatch, capsys):
    planted(conv_direct, monkeypatch, None, lambda spec, *rest: "grouped" if spec.groups > 1 else None)
    planted(pool_direct, monkeypatch, None, lambda spec, *rest: "never")
    for name in ("conv_direct", "pool_direct"):
        assert main(["verify", "--device", "cpu", "--algorithm", name]) == 0
    printed = capsys.readouterr().out
    assert (
        f"ok      {len(OF_FLOATS) - len(GROUPED)} problems, {len(MIRRORED) + len(GROUPED)} declined"
        in printed
    )
    assert "declines every problem" in printed


def test_the_problems_cover_every_parameter():
    parameters = {(p.function, name) for p in PROBLEMS for name in p.parameters}
    assert {("conv2d", "padding_mode"), ("conv2d", "activation")} < parameters
    for name in ("stride", "padding", "dilation", "groups"):
        assert ("conv2d", name) in parameters and ("conv_transpose2d", name) in parameters
        assert ("conv2d_weight", name) in parameters
    assert ("conv_transpose2d", "output_padding") in parameters
    for name in ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"):
        assert ("max_pool2d", name) in parameters
    for name in ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"):
        assert ("avg_pool2d", name) in parameters


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if 0 not in p.shape], ids=str)
def test_the_two_references_agree(problem):
    input, rest = arrays(problem, FLOAT64)
    batch = input if input.ndim == 4 else input[None]
    parameters = dict(problem.parameters)
    activation = {name: parameters.pop(name) for name in ("activation",) if name in parameters}
    if problem.function == "conv2d":
        results = reference.convolve(batch, *rest, **parameters, **activation)
        sums = other.conv2d(batch, *rest[:2], **parameters) + sum(rest[2:])
        expected = [other.activate(sums, activation.get("activation"))]
    elif problem.function == "conv_transpose2d":
        results = reference.transpose(batch, *rest, **parameters, **activation)
        sums = other.conv_transpose2d(batch, *rest[:2], **parameters) + sum(rest[2:])
        expected = [other.activate(sums, activation.get("activation"))]
    elif problem.function == "deform_conv2d":
        rest[0] = rest[0] if input.ndim == 4 else rest[0][None]
        results = reference.deform(batch, *rest, **parameters)
        expected = [other.deform_conv2d(batch, *rest, **parameters)]
    elif problem.function == "conv2d_input":
        results = reference.input_gradient(batch, *rest, **parameters)
        expected = [other.conv2d_input(w=rest[0], dy=batch, **parameters)]
    elif problem.function == "conv2d_weight":
        results = reference_gradients.weight_gradient(batch, *rest, **parameters)
        size, dy = parameters.pop("weight_size"), rest[0].reshape(-1, *rest[0].shape[-3:])
        expected = [other.conv2d_weight(batch, size, dy, **parameters)]
    elif problem.function == "conv2d_bias":
        results = reference_gradients.bias_gradient(input)
        expected = [batch.sum(axis=(0, 2, 3))]
    elif problem.function == "max_pool2d":
        results = reference.max_pool(batch, **{**parameters, "return_indices": True})
        parameters.pop("return_indices", None)
        expected = other.max_pool2d(batch, **parameters)
    else:
        results = verify.REFERENCES[problem.function](batch, **parameters)
        if "output_size" in parameters:
            parameters["size"] = other.as_pair(parameters.pop("output_size"))
        returns_indices = parameters.pop("return_indices", False)
        found = getattr(other, problem.function)(batch, **parameters)
        expected = [*found][: len(results)] if isinstance(found, tuple) else [found]
        assert len(results) == 1 + returns_indices
    for got, true in zip(results, expected, strict=True):
        np.testing.assert_array_equal(got, true)


def test_reference_convolution_by_hand():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    w = np.arange(4.0).reshape(1, 1, 2, 2)
    (y,) = reference.convolve(x, w, np.array([1.0]))
    np.testing.assert_array_equal(y, [[[[20, 26], [38, 44]]]])


def test_compare_names_the_first_wrong_place():
    expected = np.array([[1.0, np.nan], [3.0, 4.0]])
    assert verify.compare(expected.copy(), expected) is None
    assert verify.compare(np.array([[1.0, np.nan], [3.0, 5.0]]), expected) == (
        "1 of 4 wrong, at (1, 1) 5.0 instead of 4.0"
    )
    assert verify.compare(np.array([[1.0, 2.0], [3.0, 4.0]]), expected) == (
        "1 of 4 wrong, at (0, 1) 2.0 instead of nan"
    )
    assert verify.compare(expected.astype(np.float32), expected) == (
        "float32 (2, 2) instead of float64 (2, 2)"
    )
    assert verify.compare(expected[:1], expected) == "float64 (1, 2) instead of float64 (2, 2)"
