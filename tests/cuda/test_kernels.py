"""The compile gates: every kernel, for every architecture, without a spill. No GPU, and no skip.

Kernels for bfloat16 differ from those for float16 in how a number is converted, and pools one by one in
little but the dtype: most are slow tests.
"""

import re

import pytest

from gpuconv.cuda import ARCHITECTURES, KERNELS
from tests.ptx.report import is_float_atomic

ONE_BY_ONE = "pool_direct", "pool_norms"
TRIED = "float32", "uint64"  # of those


def is_seldom(kernel):
    """Whether another kernel differs from it in little."""
    room, dtype, *_ = [*kernel.name.split(), ""]
    return "bfloat16" in kernel.name or (room in ONE_BY_ONE and dtype not in TRIED)


def compilations():
    """Each kernel for sm_90a, the first of each file for every architecture; all others are slow."""
    files = set()
    for kernel in KERNELS:
        file = kernel.function.__code__.co_filename
        for arch in filter(kernel.runs_on, ARCHITECTURES):
            quick = (arch == "sm_90a" and not is_seldom(kernel)) or file not in files
            marks = () if quick else pytest.mark.slow
            yield pytest.param(kernel, arch, id=f"{kernel.name}, {arch}", marks=marks)
        files.add(file)


def each_kernel():
    for kernel in KERNELS:
        marks = pytest.mark.slow if is_seldom(kernel) else ()
        yield pytest.param(kernel, id=kernel.name, marks=marks)


@pytest.mark.parametrize(("kernel", "arch"), list(compilations()))
def test_no_spill_no_local_memory_and_the_promised_occupancy(kernel, arch):
    log = kernel.measured(arch).log
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    assert set(frames) == {("0", "0", "0")}  # of the kernel, and of a power that it calls
    (registers,) = map(int, re.findall(r"Used (\d+) registers", log))
    assert registers * kernel.threads * kernel.blocks_per_sm <= 65536


def test_the_promised_architectures_are_built():
    assert {"sm_80", "sm_90a", "sm_100", "sm_120"} < set(ARCHITECTURES)


def test_names_are_unique():
    assert len({kernel.name for kernel in KERNELS}) == len(KERNELS)


def test_a_name_of_a_file_is_one_file_of_a_folder_and_no_two_kernels_share_it():
    names = [kernel.file_name("sm_90a") for kernel in KERNELS]
    assert all(re.fullmatch(r"[\w-]+\.cubin", name) for name in names)
    assert len(set(names)) == len(KERNELS)


@pytest.mark.parametrize("kernel", list(each_kernel()))
def test_ptx_has_one_parameter_per_argument_and_is_for_the_architecture(kernel):
    text = kernel.ptx("sm_90a")
    assert ".target sm_90a" in text
    signature = text[text.index(".entry") :].partition(")")[0]
    assert len(re.findall(r"^\s*\.param \.", signature, re.MULTILINE)) == len(kernel.arguments)


@pytest.mark.parametrize("kernel", list(each_kernel()))
def test_sums_have_an_order(kernel):
    """Atomics on floating-point numbers would make them differ from run to run."""
    atomics = re.findall(r"\b(?:atom|red|cp\.reduce)\.[\w.:]+", kernel.ptx("sm_90a"))
    assert not any(map(is_float_atomic, atomics))


@pytest.mark.parametrize("arch", ["90", "sm_9", "sm_90x", "compute_90", ""])
def test_a_wrong_architecture_is_named(arch):
    with pytest.raises(ValueError, match="arch must be of the form sm_90a"):
        KERNELS[0].ptx(arch)
