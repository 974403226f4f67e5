"""`gpuconv verify`: its reference against another, and that it finds what is wrong."""

import dataclasses
from functools import partial

import numpy as np
import pytest

import gpuconv.cpu
from gpuconv import call as calls
from gpuconv.cli import main
from gpuconv.commands import reference, verify
from gpuconv.cpu.conv import direct as conv_direct
from gpuconv.cpu.pool import direct as pool_direct
from gpuconv.spec.dtypes import FLOAT64
from tests import reference as other

PROBLEMS = (*verify.CONVOLUTIONS, *verify.POOLS)


def test_cpu_passes(capsys):
    assert main(["verify", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {tuple(line.split()[1:3]): line.split()[3] for line in lines[:-1]}
    floats, halves = ("float32", "float64"), ("float16", "bfloat16")
    assert found == {
        **{(algorithm.name, dtype): "ok" for algorithm in gpuconv.cpu.ALGORITHMS["conv"] for dtype in floats},
        **{
            (algorithm.name, dtype): "ok" if (algorithm.name == "pool_widened") == (dtype in halves) else "-"
            for algorithm in gpuconv.cpu.ALGORITHMS["pool"]
            for dtype in floats + halves
        },
    }
    assert lines[-1] == "all checks passed"


def test_all_says_which_device_is_skipped_and_why(monkeypatch, capsys):
    def missing():
        raise verify.CommandError("no such thing here")

    monkeypatch.setitem(verify.DEVICES, "cuda", missing)
    assert main(["verify"]) == 0
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
    def fault(spec, compute, x, w, bias, y):
        compute(x, w, bias, y)
        if spec.pads != ((0, 0), (0, 0)) and y.size:
            y[0, 0, 0, 0] += 1

    planted(conv_direct, monkeypatch, fault)
    assert main(["verify", "--device", "cpu"]) == 1
    printed = capsys.readouterr().out
    failed = [line for line in printed.splitlines() if " FAILED " in line]
    padded = [p for p in verify.CONVOLUTIONS if p.parameters.get("padding") and 0 not in p.shape]
    assert len(failed) == 2 * len(padded)  # float32 and float64
    assert any("padding=((0, 2), (3, 1))" in line and "1 of " in line for line in failed)
    assert printed.splitlines()[-1] == "FAILED"


def test_a_nan_that_is_lost_and_a_wrong_index_are_found(monkeypatch, capsys):
    def fault(spec, compute, x, y, *indices):
        compute(np.nan_to_num(x, nan=-5.0, posinf=np.inf, neginf=-np.inf), y, *indices)
        for places in indices:
            places[..., -1, -1] += 1

    planted(pool_direct, monkeypatch, fault)
    assert main(["verify", "--device", "cpu"]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if " FAILED " in line]
    assert any("with nan" in line for line in failed)
    assert any("return_indices=True" in line and "with" not in line for line in failed)


def test_an_exception_is_a_failure_and_the_rest_still_runs(monkeypatch, capsys):
    def fault(spec, compute, *arrays):
        if spec.groups > 1:
            raise MemoryError("no room")
        compute(*arrays)

    planted(conv_direct, monkeypatch, fault)
    assert main(["verify", "--device", "cpu"]) == 1
    printed = capsys.readouterr().out
    assert "groups=5 padding=1 stride=2: MemoryError: no room" in printed
    assert f"ok      {len(verify.CONVOLUTIONS) - 2} problems" in printed


def test_declined_problems_are_counted(monkeypatch, capsys):
    planted(conv_direct, monkeypatch, None, lambda spec, *rest: "grouped" if spec.groups > 1 else None)
    planted(pool_direct, monkeypatch, None, lambda spec, *rest: "never")
    assert main(["verify", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert f"ok      {len(verify.CONVOLUTIONS) - 2} problems, 2 declined" in printed
    assert "declines every problem" in printed


def test_the_problems_cover_every_parameter():
    parameters = {(p.function, name) for p in PROBLEMS for name in p.parameters}
    for name in ("stride", "padding", "dilation", "groups"):
        assert ("conv2d", name) in parameters
    for name in ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"):
        assert ("max_pool2d", name) in parameters
    for name in ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"):
        assert ("avg_pool2d", name) in parameters


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if 0 not in p.shape], ids=str)
def test_the_two_references_agree(problem):
    input, rest = verify.arrays(problem, FLOAT64)
    batch = input if input.ndim == 4 else input[None]
    parameters = dict(problem.parameters)
    if problem.function == "conv2d":
        results = reference.convolve(batch, *rest, **parameters)
        expected = [other.conv2d(batch, *rest, **parameters)]
    elif problem.function == "max_pool2d":
        results = reference.max_pool(batch, **{**parameters, "return_indices": True})
        parameters.pop("return_indices", None)
        expected = other.max_pool2d(batch, **parameters)
    else:
        results = reference.avg_pool(batch, **parameters)
        expected = [other.avg_pool2d(batch, **parameters)]
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
