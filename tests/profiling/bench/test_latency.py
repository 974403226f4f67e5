"""The latency of calls and the launches for ncu, on the CPU; no time is asserted."""

import json
import sys

import pytest

from gpuconv.cpu import ALGORITHMS
from gpuconv.cpu.conv import direct as conv_direct
from gpuconv.cpu.pool import direct as pool_direct
from gpuconv.cuda.runtime import driver, gpu, launch
from gpuconv.spec import ConvSpec
from profiling.bench import latency, ncu
from profiling.workloads import convolution, pool


def test_calls_are_waited_for_in_batches_and_the_first_ones_not_counted():
    calls, waits = [], []
    found = latency.measure(lambda: calls.append(1), lambda: waits.append(len(calls)), 120)
    assert waits == [20, 70, 120, 140]
    assert len(calls) == 20 + 120 + 1  # one more for its memory
    assert 0 < found.fastest_us <= found.median_us


def test_python_bytes_are_the_most_that_is_held_at_once():
    def call():
        for _ in range(3):
            bytearray(100_000)
        return [bytearray(50_000)]

    assert 100_000 <= latency.python_bytes(call) < 150_000
    assert latency.python_bytes(lambda: None) < 1000


@pytest.mark.parametrize("spec", [convolution(1, 2, 6, 3, 3), pool("max", 1, 2, 6, 2)])
def test_all_contestants_compute_the_same(spec):
    pytest.importorskip("torch")
    calls = latency.contestants(spec, lambda array: array)
    *ours, theirs = (call() for call in calls.values())
    assert len(ours) == (3 if spec.__class__ is ConvSpec else 2) and [*calls][-1].startswith("torch ")
    assert ours[0].shape == spec.out_shape
    assert all((other == ours[0]).all() for other in ours)
    assert abs(ours[0] - theirs.numpy()).max() < 1e-4


def test_the_one_with_out_allocates_no_result():
    calls = latency.contestants(convolution(1, 2, 6, 3, 3), lambda array: array)
    assert calls["gpuconv.conv2d(out=)"]() is calls["gpuconv.conv2d(out=)"]()
    assert calls["gpuconv.plan_conv2d()(out=)"]() is calls["gpuconv.plan_conv2d()(out=)"]()
    assert calls["gpuconv.conv2d"]() is not calls["gpuconv.conv2d"]()


def test_the_command_prints_and_writes(tmp_path, capsys):
    out = tmp_path / "latency.json"
    assert latency.main(["--device", "cpu", "--calls", "3", "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    assert {"device", "packages", "date", "commit"} < set(written) and written["calls"] == 3
    ours = [row for row in written["rows"] if row["call"] == "gpuconv.conv2d(out=)"]
    assert [set(row) for row in ours] == [{"problem", "call", "median_us", "fastest_us", "python_bytes"}]
    assert "gpuconv.max_pool2d(out=)" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        latency.main(["--calls", "0"])
    assert "--calls must be at least 1, not 0" in capsys.readouterr().err


def test_a_gpu_that_does_nothing_has_no_peers(tmp_path, capsys):
    out = tmp_path / "latency.json"
    modules = driver, gpu, launch
    before = sys.modules.get("cupy"), *(module.driver for module in modules)
    assert latency.main(["--device", "idle", "--calls", "3", "--out", str(out)]) == 0
    assert (sys.modules.get("cupy"), *(module.driver for module in modules)) == before
    names = {row["call"] for row in json.loads(out.read_text())["rows"]}
    assert "gpuconv.plan_conv2d()(out=)" in names and not any("torch" in name for name in names)
    assert "gpuconv.max_pool2d" in capsys.readouterr().out


def test_ncu_is_given_every_algorithm(monkeypatch, capsys):
    monkeypatch.setattr(ncu, "LAYERS", (convolution(2, 2, 8, 4, 3), pool("mean", 2, 2, 8, 2)))
    assert ncu.main(["--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    last = {"conv": conv_direct.ALGORITHM.name, "pool": pool_direct.ALGORITHM.name}
    assert f"{last['conv']} on 3x3 2->4 @8 N2" in {line.partition(": ")[2] for line in lines}
    ran = {line.split()[1] for line in lines}
    assert ran <= {each.name for listed in ALGORITHMS.values() for each in listed} and last["pool"] in ran


def test_ncu_looks_at_both_operators_at_sizes_that_fill_a_device():
    assert {type(spec).__name__ for spec in ncu.LAYERS} == {"ConvSpec", "PoolSpec"}
    assert all(spec.N * spec.C * spec.H * spec.W >= 2**20 for spec in ncu.LAYERS)
