"""What is tried first on a GPU, on the CPU in its place: it says how far it came, and what is wrong."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("gpuconv.cuda", reason="the GPU engine is not installed")

from gpuconv import cuda
from gpuconv.commands import environment
from gpuconv.cuda.runtime.gpu import H200
from profiling.device import smoke


class Device(environment.Cpu):
    """Plans for an H200, and lets the CPU compute."""

    gpu = H200

    def __init__(self):
        super().__init__()
        code = SimpleNamespace(code=b"12345")
        kernels = [SimpleNamespace(name=kernel.name, cubin=lambda arch: code) for kernel in cuda.KERNELS]
        self.engine = SimpleNamespace(ALGORITHMS=cuda.ALGORITHMS, KERNELS=kernels)


class Wrong(Device):
    def get(self, array):
        return array + 1


@pytest.fixture
def computed(monkeypatch):
    """The algorithm is one of the GPU's, which the CPU has not."""
    real = smoke.gpuconv.conv2d
    standing_in = SimpleNamespace(conv2d=lambda *arrays, algorithm, **rest: real(*arrays, **rest))
    monkeypatch.setattr(smoke, "gpuconv", standing_in)


def test_every_step_says_what_it_has_found(computed, capsys):
    assert smoke.main([], Device) == 0
    lines = [line.split(" s  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert [line.split(":")[0] for line in lines] == ["versions", "device", "cubin", "launch", "result"]
    assert lines[1] == "device: H200, sm_90a, 132 multiprocessors"
    assert lines[2] == "cubin: conv_tiled float32 4x1024, 5 bytes"


def test_a_wrong_result_fails(computed, capsys):
    assert smoke.main([], Wrong) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert "FAILED  ArithmeticError: 504 of 504 wrong" in last


def test_what_is_missing_fails_after_the_steps_before_it(capsys):
    def missing():
        raise environment.CommandError("no CUDA device")

    assert smoke.main([], missing) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "versions: " in lines[0] and lines[1].endswith("FAILED  CommandError: no CUDA device")


def test_a_cubin_of_the_device_is_asked_for(computed, monkeypatch):
    asked = []
    monkeypatch.setattr(Device, "gpu", replace(H200, capability=(8, 9)))
    device = Device()
    for kernel in device.engine.KERNELS:
        kernel.cubin = lambda arch: asked.append(arch) or SimpleNamespace(code=b"")
    assert smoke.main([], lambda: device) == 0
    assert asked == ["sm_80"]
