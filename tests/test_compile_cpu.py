"""`gpuconv compile --cpu`: what is named is compiled, and nothing that could not be kept."""

from gpuconv.cli import main
from gpuconv.commands.compile_cpu import compilations, label
from gpuconv.cpu import KERNELS
from gpuconv.cpu.engine import cache


def test_compile_cpu_compiles_what_is_named(capsys, monkeypatch, tmp_path):
    compiled = []
    monkeypatch.setattr(
        type(KERNELS[0]), "__getitem__", lambda kernel, dtype: compiled.append((kernel, dtype))
    )
    assert main(["compile", "--cpu", "--kernel", "pool_direct.max_rows float64"]) == 0
    (kernel,) = (each for each in KERNELS if each.name == "pool_direct.max_rows")
    assert compiled == [(kernel, "float64")]
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["pool_direct.max_rows", "float64", "cpu"]]
    assert last.startswith("kept in ")
    compiled.clear()
    assert main(["compile", "--cpu", "--kernel", "pool_rows"]) == 0  # the function of two kernels
    assert len(compiled) == 4
    compiled.clear()
    assert main(["compile", "--cpu", "--kernel", "fft"]) == 2
    assert capsys.readouterr().err == "gpuconv compile: there is no CPU kernel with 'fft' in its name\n"
    assert compiled == []


def test_what_compile_cpu_says_of_a_kernel_it_says_of_no_other():
    labels = [text for text, _ in compilations()]
    assert len(set(labels)) == len(labels) == 2 * len(KERNELS)
    assert len({kernel.name for kernel in KERNELS}) < len(KERNELS)  # names alone would not do
    assert {"pool_global.max_planes", "conv_direct.convolve_rows"} < {label(kernel) for kernel in KERNELS}
    assert any("conv_winograd.share_weights m=2 " in text for text in labels)


def test_compile_cpu_refuses_a_cache_that_cannot_be_written(capsys, monkeypatch):
    monkeypatch.setattr(cache, "why_not_writable", lambda folder: "Read-only file system")
    assert main(["compile", "--cpu"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Read-only file system" in error and "GPUCONV_CACHE_DIR" in error
