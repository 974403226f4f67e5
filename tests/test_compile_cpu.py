"""`gpuconv compile --cpu`: what is named is compiled, and nothing that could not be kept."""

import itertools

import pytest

from gpuconv.cli import main
from gpuconv.commands import compile_cpu
from gpuconv.commands.compile_cpu import jobs_of, label, label_of
from gpuconv.cpu import KERNELS
from gpuconv.cpu.engine import cache, sixteen_bits
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.spec.dtypes import FLOAT32, FLOATS, INT64, UINT64


def test_compile_cpu_compiles_what_is_named(capsys, monkeypatch, threads):
    threads(1)  # other processes would not see the stand-in
    compiled = []
    monkeypatch.setattr(
        type(KERNELS[0]), "__getitem__", lambda kernel, dtype: compiled.append((kernel, dtype))
    )
    assert main(["compile", "--cpu", "--kernel", "pool_direct.max_rows float64"]) == 0
    (kernel,) = (each for each in KERNELS if each.name == "pool_direct.max_rows")
    assert compiled == [(kernel, "float64")]
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[:5] for line in lines] == [["1", "of", "1", "pool_direct.max_rows", "float64"]]
    assert last.startswith("kept in ")
    compiled.clear()
    assert main(["compile", "--cpu", "--kernel", "pool_rows"]) == 0  # the function of two kernels
    assert len(compiled) == 4
    compiled.clear()
    assert main(["compile", "--cpu", "--kernel", "fft"]) == 2
    assert capsys.readouterr().err == "gpuconv compile: there is no CPU kernel with 'fft' in its name\n"
    assert compiled == []


def test_what_compile_cpu_says_of_a_kernel_it_says_of_no_other():
    labels = [*map(label_of, jobs_of())]
    assert len(set(labels)) == len(labels) == sum(len(kernel.dtypes) for kernel in KERNELS)
    assert len({kernel.name for kernel in KERNELS}) < len(KERNELS)  # names alone would not do
    assert {"pool_global.max_planes", "conv_direct.convolve_rows"} < {label(kernel) for kernel in KERNELS}
    assert any("conv_winograd.share_weights m=2 " in text for text in labels)


def test_every_kernel_of_the_engine_is_among_them_once(fresh_python):
    code = """
import gc, importlib, pkgutil, gpuconv.cpu
for module in pkgutil.walk_packages(gpuconv.cpu.__path__, "gpuconv.cpu."):
    importlib.import_module(module.name)
made = [each for each in gc.get_objects() if type(each) is gpuconv.cpu.Kernel]
print([each.name for each in made if each not in gpuconv.cpu.KERNELS], len(made) == len(gpuconv.cpu.KERNELS))
"""
    assert fresh_python(code) == "[] True"


def test_a_kernel_is_compiled_for_the_dtypes_that_it_is_called_for():
    dtypes = {label(kernel): kernel.dtypes for kernel in KERNELS}
    assert {dtypes[label(kernel)] for kernel in sixteen_bits.KERNELS} == {(FLOAT32,)}
    assert dtypes["pool_direct.mean_rows"] == FLOATS
    assert dtypes["pool_direct.max_rows"] == (*FLOATS, INT64, UINT64)
    for_tf32 = [name for name in dtypes if "m=4" in name or "winograd_ranges" in name]
    assert len(for_tf32) == 5 and {dtypes[name] for name in for_tf32} == {(FLOAT32,)}


@pytest.fixture
def full_disk(monkeypatch, tmp_path, threads):
    """A cache that takes three files, and two kernels that are not in it: all that there are."""

    def refuse_the_fourth(*arguments):
        if next(written) == 3:
            raise OSError(28, "No space left on device")
        return write(*arguments)

    written, write = itertools.count(), cache.IndexDataCacheFile._open_for_write
    monkeypatch.setattr(cache.IndexDataCacheFile, "_open_for_write", refuse_the_fourth)
    monkeypatch.setattr(cache, "folders", lambda: (tmp_path,))
    monkeypatch.setattr(cache, "_reasons", [])
    widen, narrow = (Kernel(kernel.function, kernel.signature) for kernel in sixteen_bits.KERNELS[1::2])
    monkeypatch.setattr(compile_cpu, "KERNELS", (widen, narrow))
    monkeypatch.setattr(compile_cpu, "label", lambda kernel: kernel.name)
    threads(1)  # other processes would not see it
    return [(0, FLOAT32), (1, FLOAT32)]


def test_compile_cpu_says_what_a_full_disk_did_not_take(full_disk, monkeypatch, capsys, caplog, tmp_path):
    monkeypatch.setattr(compile_cpu, "jobs_of", lambda name: full_disk)
    assert main(["compile", "--cpu"]) == 2
    printed = capsys.readouterr()
    assert printed.err == (
        "gpuconv compile: engine_sixteen_bits.narrow_bfloat16_rows float32 could not be kept "
        f"({tmp_path}: No space left on device): set GPUCONV_CACHE_DIR\n"
    )
    assert "kept in" not in printed.out and printed.out.count("\n") == 1
    assert caplog.records == []  # the same once is enough


def test_compile_cpu_refuses_a_cache_that_cannot_be_written(capsys, monkeypatch):
    monkeypatch.setattr(cache, "why_not_writable", lambda folder: "Read-only file system")
    assert main(["compile", "--cpu"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Read-only file system" in error and "GPUCONV_CACHE_DIR" in error
