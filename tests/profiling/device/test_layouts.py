"""The comparison of a GPU with the PTX executor, with stand-ins for the GPU; and its samples."""

import functools
import json
import os
import time

import numpy as np
import pytest

from profiling.device import layouts
from profiling.device.layouts import DIFFERENT, EQUAL, FAILED, SKIPPED, Worker, compare, first_difference
from tests import ptx
from tests.ptx.sample import BLOCK, COUNT, FORMATS, Sample, any_values, special_bits
from tests.ptx.samples import SAMPLES
from tests.sampling import few

OTHERS = [sample for i, sample in enumerate(SAMPLES) if i % 8]
BY_NAME = {sample.name: sample for sample in SAMPLES}


class Executor:
    """A device that is the executor, and spoils one sample in one way."""

    name, capability = "a stand-in", (9, 0)

    def __init__(self, spoiled="", spoil=None):
        self.spoiled, self.spoil = spoiled, spoil

    def run(self, sample, arguments):
        if sample.name == self.spoiled:
            self.spoil(layouts.arrays(arguments))
        else:
            ptx.Kernel(sample.text).launch(
                sample.grid, sample.block, *arguments, shared_bytes=sample.shared_bytes
            )


def leave_as_is(arrays):
    pass


def fail(arrays):
    raise RuntimeError("CUDA_ERROR_ILLEGAL_INSTRUCTION: an illegal instruction was encountered")


def die(arrays):
    os._exit(3)


def hang(arrays):
    time.sleep(60)


def no_driver():
    raise RuntimeError("CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected")


# The samples


@pytest.mark.parametrize(
    "sample", few([*SAMPLES[::8], *OTHERS], len(SAMPLES[::8])), ids=lambda each: each.name
)
def test_the_executor_runs_each_sample_and_every_result_depends_on_the_arguments(sample):
    results = []
    for seed in (1, 1, 2):
        arguments = sample.make_arguments(np.random.default_rng(seed))
        before = [array.tobytes() for array in layouts.arrays(arguments)]
        ptx.Kernel(sample.text).launch(
            sample.grid, sample.block, *arguments, shared_bytes=sample.shared_bytes
        )
        results.append([array.tobytes() for array in layouts.arrays(arguments)])
        assert results[-1] != before
    assert results[0] == results[1]
    if sample.name != "red.add red.max":  # which has no input
        assert results[0][-1] != results[2][-1]


@pytest.mark.wide  # seconds
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_each_sample_links(sample, arch):
    core = pytest.importorskip("cuda.core")
    if not layouts.runs_on(sample.target, {"sm_80": (8, 0), "sm_90a": (9, 0)}[arch]):
        pytest.skip(f"needs {sample.target}")
    text = core.ObjectCode.from_ptx(sample.text.encode())
    assert core.Linker(text, options=core.LinkerOptions(arch=arch)).link("cubin").code


def test_names_are_unique_and_arguments_can_be_passed_to_a_device():
    assert len(BY_NAME) == len(SAMPLES)
    for sample in SAMPLES:
        for argument in sample.make_arguments(np.random.default_rng(0)):
            assert isinstance(argument, (np.ndarray, np.generic, bytes, ptx.arguments.Pointer))
        for array in layouts.arrays(sample.make_arguments(np.random.default_rng(0))):
            assert array.flags.c_contiguous and array.flags.writeable


@pytest.mark.parametrize("kind", ["u8", "s32", "b32", "u64", "f32", "f64", "f16", "bf16"])
def test_sources_hold_every_special_value(kind):
    made = any_values(np.random.default_rng(0), kind)
    assert made.shape == (COUNT,) and COUNT % BLOCK == 0
    bits = made.view(f"u{made.itemsize}")
    assert set(special_bits(kind)) <= set(bits.tolist())
    assert len(set(bits.tolist())) > min(COUNT, 2 ** (8 * made.itemsize)) // 4


def test_special_bits_of_float32_are_what_they_are_called():
    values = np.array(special_bits("f32"), np.uint32).view(np.float32)
    info = np.finfo(np.float32)
    positive = [0, info.smallest_subnormal, None, info.tiny, 1, 1 + info.eps, 1.5, info.max, np.inf]
    assert all(a == b for a, b in zip(values, positive, strict=False) if b is not None)
    np.testing.assert_array_equal(values[9:18], -values[:9])
    assert np.isnan(values[18]) and values.size == 19 and set(FORMATS) == {"f16", "bf16", "f32", "f64"}


# The comparison


@pytest.mark.parametrize("name", ["fma.rn.f32", "cvt.rn.f16x2.f32", "red.add red.max", "ex2.approx.f32"])
def test_a_device_that_does_the_same_is_equal(name):
    assert compare(BY_NAME[name], Executor()) == (EQUAL, "")


def test_a_device_that_does_nothing_differs():
    result, detail = compare(BY_NAME["mad.lo.u32"], Executor("mad.lo.u32", leave_as_is))
    assert result == DIFFERENT and detail.startswith("array 3, element 0: the executor has ")


def test_one_wrong_bit_is_named():
    def flip(arrays):
        ptx.Kernel(sample.text).launch(sample.grid, sample.block, *arrays)
        arrays[-1][77] ^= 4

    sample = BY_NAME["brev.b32"]
    result, detail = compare(sample, Executor("brev.b32", flip))
    assert result == DIFFERENT and "element 77" in detail and detail.endswith(f"1 of {COUNT} differ")


def test_a_change_of_an_input_is_seen():
    def spoil(arrays):
        ptx.Kernel(sample.text).launch(sample.grid, sample.block, *arrays)
        arrays[0][5] += 1

    sample = BY_NAME["popc.b32"]
    assert compare(sample, Executor("popc.b32", spoil))[1].startswith("array 0, element 5")


def test_what_the_device_raises_is_the_finding():
    result, detail = compare(BY_NAME["clz.b32"], Executor("clz.b32", fail))
    assert result == FAILED and "CUDA_ERROR_ILLEGAL_INSTRUCTION" in detail


def test_a_fault_in_the_sample_is_the_finding():
    text = BY_NAME["clz.b32"].text.replace("ld.param.u64 %p, [p1]", "ld.param.u64 %p, [p0]")
    assert text != BY_NAME["clz.b32"].text
    broken = Sample("broken", text.replace("mul.wide.u32 %o, %i, 4", "mul.wide.u32 %o, %i, 8"),
                    BY_NAME["clz.b32"].make_arguments, COUNT // BLOCK, BLOCK)  # fmt: skip
    result, detail = compare(broken, Executor())
    assert result == FAILED and "OutOfBoundsError" in detail


@pytest.mark.parametrize(
    ("target", "capability", "runs"),
    [
        ("sm_80", (8, 0), True), ("sm_80", (9, 0), True), ("sm_80", (7, 5), False), ("sm_90a", (9, 0), True),
        ("sm_90a", (10, 0), False), ("sm_100", (9, 0), False), ("sm_75", (12, 0), True),
    ],
)  # fmt: skip
def test_where_a_target_runs(target, capability, runs):
    assert layouts.runs_on(target, capability) is runs
    sample = Sample("x", f".version 8.0\n.target {target}\n", lambda rng: [])
    assert sample.target == target
    if not runs:
        device = Executor()
        device.capability = capability
        assert compare(sample, device) == (SKIPPED, f"needs {target}")


def floats(*values):
    return np.array(values, np.float32)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_units_in_the_last_place(dtype):
    one, info = np.dtype(dtype).type(1), np.finfo(dtype)
    a = np.array([1, 1, 0, info.smallest_subnormal, -1, info.max, np.nan, 1, np.nan], dtype)
    b = np.array([1, one + 3 * info.eps, -0.0, -info.smallest_subnormal, 1, np.inf, np.nan, np.nan, 1], dtype)
    apart = layouts.distance(a, b)
    np.testing.assert_array_equal(apart[[0, 1, 2, 3, 5]], [0, 3, 0, 2, 1])
    assert apart[4] > 1000 and np.isnan(apart[6:]).all()


@pytest.mark.parametrize(
    ("expected", "got", "ulps", "differs"),
    [
        (floats(1), floats(1), 0, False),
        (floats(1), floats(1 + 2**-23), 0, True),
        (floats(1), floats(1 + 2**-23), 1, False),
        (floats(1), floats(1 + 2**-22), 1, True),
        (floats(0.0), floats(-0.0), 0, True),
        (floats(0.0), floats(-0.0), 1, False),
        (floats(np.nan), floats(-np.nan), 0, False),
        (floats(np.nan), floats(1), 9, True),
        (floats(1), floats(np.nan), 9, True),
        (floats(np.inf), floats(-np.inf), 9, True),
        (np.array([0x7FFF], np.uint16), np.array([0x7FFE], np.uint16), 5, True),  # bits are bits
    ],
)
def test_when_arrays_differ(expected, got, ulps, differs):
    assert bool(first_difference(expected, got, ulps)) is differs


def test_the_first_difference_is_told_in_bits():
    told = first_difference(floats(1, 2, 3), floats(1, 4, 5), 0)
    assert told.startswith("element 1: the executor has") and "0x40000000" in told and "0x40800000" in told
    assert told.endswith("2 of 3 differ")


# The worker and the command


@pytest.mark.parametrize(
    ("spoil", "detail"),
    few([(fail, "CUDA_ERROR_ILLEGAL_INSTRUCTION"), (die, "exit code 3"), (hang, "no answer within 5 s")], 2),
)
def test_one_bad_sample_does_not_spoil_the_next(spoil, detail):
    worker = Worker(functools.partial(Executor, "clz.b32", spoil), seconds=5)
    assert worker.start() == "a stand-in"
    try:
        result, told = worker.compare("clz.b32")
        assert result == FAILED and detail in told
        assert worker.compare("popc.b32") == (EQUAL, "")
    finally:
        worker.stop()


def test_the_command_prints_and_writes_every_sample(tmp_path, capsys):
    out = tmp_path / "layouts.json"
    device = functools.partial(Executor, "shfl.up 3 0x0", leave_as_is)
    assert layouts.main(["--sample", "shfl.up", "--out", str(out)], device) == 1
    written = json.loads(out.read_text())
    assert written["device"] == "a stand-in"
    assert {row["sample"]: row["result"] for row in written["rows"]} == {
        "shfl.up %b 0x0": EQUAL, "shfl.up %b 0x1800": EQUAL, "shfl.up 3 0x0": DIFFERENT,
        "shfl.up 3 0x1800": EQUAL,
    }  # fmt: skip
    assert (written[EQUAL], written[DIFFERENT]) == (3, 1)
    assert "a stand-in: 3 equal, 1 different, 0 failed, 0 skipped" in capsys.readouterr().out


def test_all_equal_is_success_and_no_device_is_not(capsys):
    assert layouts.main(["--sample", "brev"], Executor) == 0
    assert layouts.main(["--sample", "brev"], no_driver) == 2
    assert "no CUDA device: RuntimeError: CUDA_ERROR_NO_DEVICE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        layouts.main(["--sample", "no such sample"], Executor)


@pytest.mark.gpu
def test_the_device_agrees_with_the_executor():
    assert layouts.main([]) == 0
