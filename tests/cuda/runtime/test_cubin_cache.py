"""The cubin cache: hits, survives damage and concurrent writers, and is optional."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from numba import float32, int64, types

from gpuconv.cuda.conv.depthwise.kernel import SLIDING
from gpuconv.cuda.conv.implicit_gemm.kernel import KERNELS_BY_TILE
from gpuconv.cuda.runtime import compiled
from gpuconv.cuda.runtime.compiled import Kernel, cache_folder
from gpuconv.cuda.runtime.sources import PACKAGE, sources_of


def scale(x, n):
    for i in range(n):
        x[i] *= float32(2)


def make_kernel():
    return Kernel("scale", lambda: scale, {types.CPointer(float32): "x", int64: "n"}, 32, 1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUCONV_CACHE_DIR", str(tmp_path / "cubins"))
    cache_folder.cache_clear()
    yield tmp_path / "cubins"
    cache_folder.cache_clear()


@pytest.fixture
def compilations(monkeypatch):
    """The architectures that were compiled for, in order."""
    done = []
    original = Kernel.ptx

    def counted(self, arch):
        done.append(arch)
        return original(self, arch)

    monkeypatch.setattr(Kernel, "ptx", counted)
    return done


def test_a_second_process_would_not_compile(folder, compilations):
    first = make_kernel().cubin("sm_80")
    second = make_kernel().cubin("sm_80")  # a new object remembers nothing
    assert compilations == ["sm_80"]
    assert first == second
    assert first.code.startswith(b"\x7fELF")
    assert first.entry.encode() in first.code


def test_each_architecture_has_its_own(folder, compilations):
    kernel = make_kernel()
    assert kernel.cubin("sm_80").code != kernel.cubin("sm_90a").code
    assert compilations == ["sm_80", "sm_90a"]
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("keep", [0, 31, 32, 100, -1])
def test_a_truncated_file_is_replaced(folder, compilations, keep):
    make_kernel().cubin("sm_80")
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:keep])
    replaced = make_kernel().cubin("sm_80")
    assert compilations == ["sm_80", "sm_80"]
    assert make_kernel().cubin("sm_80") == replaced
    assert compilations == ["sm_80", "sm_80"]


def test_concurrent_writers_leave_one_whole_file(folder):
    barrier = threading.Barrier(4)

    def build(_):
        kernel = make_kernel()
        barrier.wait()
        return kernel.cubin("sm_80")

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(build, range(4)))
    assert len(list(folder.iterdir())) == 1
    assert make_kernel()._load("sm_80") in results


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path, monkeypatch, compilations):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GPUCONV_CACHE_DIR", str(tmp_path / "file" / "cubins"))
    cache_folder.cache_clear()
    try:
        assert cache_folder() is None
        assert make_kernel().cubin("sm_80").code
        assert compilations == ["sm_80"]
    finally:
        cache_folder.cache_clear()


def test_a_file_that_cannot_be_written_costs_nothing_else(folder, monkeypatch):
    folder.mkdir(parents=True)
    monkeypatch.setattr(compiled.Path, "replace", refuse)
    assert make_kernel().cubin("sm_80").code
    assert list(folder.iterdir()) == []


def refuse(*_):
    raise PermissionError("read-only")


def test_the_key_depends_on_the_source(folder, monkeypatch):
    before = make_kernel()._path("sm_80")
    monkeypatch.setattr(compiled, "sources_of", lambda function: ("another source",))
    assert make_kernel()._path("sm_80") != before


def test_a_cubin_of_other_compilers_is_replaced_where_there_is_one(folder, compilations, monkeypatch):
    make_kernel().cubin("sm_80")
    monkeypatch.setattr(compiled, "compilers", lambda: "nvidia-nvvm=1")
    make_kernel().cubin("sm_80")
    make_kernel().cubin("sm_80")
    assert compilations == ["sm_80", "sm_80"]
    assert len(list(folder.iterdir())) == 1


def test_a_cubin_brought_to_a_machine_without_a_compiler_is_taken(folder, monkeypatch):
    brought = make_kernel().cubin("sm_80")
    monkeypatch.setattr(compiled, "compilers", lambda: "")
    monkeypatch.setattr(Kernel, "ptx", no_compiler)
    assert make_kernel().cubin("sm_80") == brought
    with pytest.raises(FileNotFoundError, match="libnvvm"):
        make_kernel().cubin("sm_90a")


def no_compiler(self, arch):
    raise FileNotFoundError("libnvvm.so")


def test_the_compilers_of_both_toolkits_are_told_apart(monkeypatch):
    compiled.compilers.cache_clear()
    monkeypatch.setattr(compiled, "version", {"numba": "1", "nvidia-cuda-nvcc-cu12": "12.9"}.__getitem__)
    monkeypatch.setattr(compiled, "PackageNotFoundError", KeyError)
    assert compiled.compilers() == "numba=1 nvidia-cuda-nvcc-cu12=12.9"
    compiled.compilers.cache_clear()


def test_the_key_depends_on_all_that_a_kernel_of_a_room_is_made_of():
    kernel = next(iter(KERNELS_BY_TILE.values()))
    texts = sources_of(kernel.function)
    rooms = "conv/implicit_gemm/gather.py", "conv/implicit_gemm/tiles.py", "device/division.py"
    wanted = [PACKAGE / "cuda" / name for name in (*rooms, "device/epilogue.py", "ptx/fragments.py")]
    assert all(path.read_text() in texts for path in wanted)
    assert (PACKAGE / "cuda" / "conv" / "stem" / "load.py").read_text() not in texts
    elements = sources_of(next(iter(SLIDING.values())).function)
    assert (PACKAGE / "spec" / "dtypes.py").read_text() in elements
