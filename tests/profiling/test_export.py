"""Exported folders, read back with JSON and NumPy alone, and carried out by the executor."""

import hashlib
import json
import re
import shutil
import struct

import numpy as np
import pytest

from profiling.export import command
from profiling.export import folder as writing
from tests import ptx

# Scalars by their types in PTX, as `struct` reads them.
FORMATS = {"u32": "<I", "s32": "<i", "b32": "<I", "u64": "<Q", "s64": "<q", "b64": "<Q"}
CALLS = {
    "a convolution": "--shape 2 5 9 11 --filters 7 3 3 --padding 1 --stride 2 --algorithm conv_tiled",
    "passes": "--shape 1 8 10 12 --filters 8 3 3 --padding 1 --algorithm conv_winograd --arch sm_80",
    "a pool": "--shape 1 3 17 20 --pool max --window 3 3 --stride 2 --padding 1 --gpu a100",
    "float64": "--shape 1 2 8 9 --filters 2 2 3 --groups 2 --dtype float64",
}


@pytest.fixture(scope="module", params=CALLS)
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "a" / "folder"
    assert command.main([str(folder), *CALLS[request.param].split()]) == 0
    return folder


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copy")


def check(folder):
    """Carry out the launches of a folder; a PtxError or an AssertionError if not all is as described."""
    described = json.loads((folder / "launch.json").read_text())
    memory = {}
    for array in described["arrays"]:
        if array["file"]:
            memory[array["name"]] = np.load(folder / array["file"])
            memory[array["name"]].flags.writeable = False
        else:
            memory[array["name"]] = np.full(array["shape"], np.nan, array["dtype"])
        found = memory[array["name"]]
        assert [*found.shape] == array["shape"] and found.nbytes == array["bytes"]
        assert found.dtype == array["dtype"]
    for launch in described["launches"]:
        carry_out(folder, launch, memory)
        for expected in launch["expected"]:
            np.testing.assert_array_equal(
                memory[expected["array"]], np.load(folder / expected["file"]), strict=True
            )
    return described


def carry_out(folder, launch, memory):
    kernel = ptx.Kernel((folder / launch["ptx"]).read_text(), launch["entry"])
    packed = (folder / launch["arguments"]).read_bytes()
    assert len(packed) == launch["argument_bytes"]
    arguments = [argument(packed, parameter, memory) for parameter in launch["parameters"]]
    assert [parameter.type for parameter in kernel.program.entry.parameters] == [
        parameter["type"] for parameter in launch["parameters"]
    ]
    kernel.launch(launch["grid"], launch["block"], *arguments, shared_bytes=launch["shared_bytes"])


def argument(packed, parameter, memory):
    """What the executor takes for a parameter: a scalar from the packed bytes, or an array."""
    kind = FORMATS[parameter["type"]]
    assert parameter["offset"] % parameter["bytes"] == 0 and struct.calcsize(kind) == parameter["bytes"]
    (value,) = struct.unpack_from(kind, packed, parameter["offset"])
    if "array" not in parameter:
        assert value == parameter["value"] % 2 ** (8 * parameter["bytes"])
        return value
    assert value == 0
    return 0 if parameter["array"] is None else ptx.pointer(memory[parameter["array"]], parameter["begin"])


def test_what_is_exported_can_be_carried_out(exported):
    described = check(exported)
    assert 0 <= described["cpu_difference"] < 1e-6 and described["tolerance"] == 0
    assert described["launches"][-1]["expected"][-1]["array"] == "y"
    assert {array["role"] for array in described["arrays"]} <= {"input", "output", "scratch"}
    files = {each.name for each in exported.iterdir()} - {"launch.json"}
    assert described["sha256"].keys() == files
    for name, found in described["sha256"].items():
        assert hashlib.sha256((exported / name).read_bytes()).hexdigest() == found


def test_parameters_lie_where_the_program_has_them(exported):
    for launch in json.loads((exported / "launch.json").read_text())["launches"]:
        program = ptx.Kernel((exported / launch["ptx"]).read_text(), launch["entry"]).program
        places = [program.offsets[parameter] for parameter in program.entry.parameters]
        assert [place - places[0] for place in places] == [each["offset"] for each in launch["parameters"]]


def scalar(folder, described):
    """The bytes of a scalar in the last launch: the stride of the output's rows, one more."""
    launch = described["launches"][-1]
    (row,) = [each for each in launch["parameters"] if each["name"] == "y_p"]
    path = folder / launch["arguments"]
    packed = bytearray(path.read_bytes())
    packed[row["offset"]] += 1
    path.write_bytes(packed)


def program(folder, described):
    """The stores of the last launch, which are left out."""
    path = folder / described["launches"][-1]["ptx"]
    without = re.sub(r"(?m)^.*st\.global.*$", "", path.read_text())
    assert without != path.read_text()
    path.write_text(without)


def read(folder, described):
    change(folder / "x.npy")


def expected(folder, described):
    change(folder / described["launches"][-1]["expected"][-1]["file"])


def change(path):
    """One element of an array."""
    found = np.load(path)
    found.flat[found.size // 2] += 1000
    np.save(path, found)


@pytest.mark.parametrize("corrupt", [scalar, program, read, expected], ids=lambda corrupt: corrupt.__name__)
def test_what_is_corrupted_is_noticed(copy, corrupt):
    check(copy)
    corrupt(copy, json.loads((copy / "launch.json").read_text()))
    with pytest.raises((AssertionError, ptx.PtxError)):
        check(copy)


def test_the_result_may_be_the_cpu_engines(tmp_path):
    arguments = ["--workload", "lenet5", "--layer", "5x5 6->16 @14", "--batch", "1", "--expect", "cpu"]
    assert command.main([str(tmp_path / "out"), *arguments]) == 0
    described = json.loads((tmp_path / "out" / "launch.json").read_text())
    assert described["cpu_difference"] is None and described["expected_by"] == "cpu"
    (expected,) = described["launches"][-1]["expected"]
    x, w = (np.load(tmp_path / "out" / name) for name in ("x.npy", "w.npy"))
    assert expected["array"] == "y"
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (5, 5), (2, 3))
    by_definition = np.einsum("ncpqrs,kcrs->nkpq", windows, w.astype(np.float64))
    found = np.load(tmp_path / "out" / expected["file"])
    assert np.abs(found - by_definition).max() <= described["tolerance"] * np.abs(by_definition).max()


def test_kernels_that_compute_something_else_are_not_exported(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "public_call", lambda spec, arrays: lambda: np.ones(spec.out_shape))
    with pytest.raises(RuntimeError, match="differs by"):
        command.main([str(tmp_path / "out"), *CALLS["a pool"].split()])
    assert not (tmp_path / "out" / "launch.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--shape 1 8 16 16", "one of --workload and --layer"),
        ("--shape 1 8 16 16 --filters 8 3 3 --pool max --window 2 2", "one of --workload and --layer"),
        ("--workload vgg16 --layer 9x9", "vgg16 has no layer '9x9'; it has '3x3 3->64 @224'"),
        ("--shape 1 8 16 16 --filters 8 3 3 --algorithm conv_depthwise", "conv_depthwise"),
        ("--shape 0 8 16 16 --filters 8 3 3", "nothing is launched"),
        ("--shape 1 8 2 2 --filters 8 3 3", "kernel"),
    ],
)
def test_what_cannot_be_exported_is_refused(arguments, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main([str(tmp_path / "out"), *arguments.split()])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        command.main([str(tmp_path), *CALLS["a pool"].split()])
    assert "is not empty" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
