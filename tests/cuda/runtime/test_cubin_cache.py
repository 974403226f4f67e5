"""The cubin cache: hits, survives damage and concurrent writers, and is optional."""

import ast
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from numba import float32, int64, types

from gpuconv.cuda.conv.depthwise.kernel import SLIDING
from gpuconv.cuda.conv.implicit_gemm.kernel import KERNELS_BY_TILE
from gpuconv.cuda.runtime import compiled, compiler, cubins
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.compiler import NoCompiler
from gpuconv.cuda.runtime.cubins import Cubin, cache_folder, write_archive
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

    def counted(self, arch, lowered=None):
        done.append(arch)
        return original(self, arch, lowered)

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
    assert make_kernel().cubin("sm_80") in results


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


def test_a_file_that_cannot_be_written_costs_nothing_else_and_is_said_once(folder, monkeypatch, caplog):
    folder.mkdir(parents=True)
    monkeypatch.setattr(cubins.Path, "replace", refuse)
    cubins._say_once.cache_clear()
    for _ in range(2):
        assert make_kernel().cubin("sm_80").code
    assert list(folder.iterdir()) == []
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "set GPUCONV_CACHE_DIR" in record.getMessage()


def test_a_folder_that_can_only_be_read_is_read(folder, compilations, monkeypatch, caplog):
    make_kernel().cubin("sm_80")
    monkeypatch.setattr(cubins.Path, "write_bytes", refuse)
    assert make_kernel().cubin("sm_80").code
    assert compilations == ["sm_80"] and not caplog.records


def test_a_user_without_a_home_computes_all_the_same(monkeypatch, compilations):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for variable in ("GPUCONV_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(cubins.Path, "home", no_home)
    cache_folder.cache_clear()
    try:
        assert cache_folder() is None
        assert make_kernel().cubin("sm_80").code
    finally:
        cache_folder.cache_clear()


def refuse(*_):
    raise PermissionError("read-only")


def test_the_name_of_a_file_depends_on_the_sources_and_not_on_the_compilers(monkeypatch):
    before = make_kernel().file_name("sm_80")
    monkeypatch.setattr(compiled, "compilers", lambda: "nvidia-nvvm=1")
    assert make_kernel().file_name("sm_80") == before
    monkeypatch.setattr(compiled, "sources_of", lambda function: ("another source",))
    assert make_kernel().file_name("sm_80") != before


def test_a_cubin_of_other_compilers_is_used_before_any_is_asked_and_never_overwritten(
    folder, compilations, monkeypatch
):
    monkeypatch.setattr(compiler, "compilers", lambda: "nvidia-nvvm=1")
    brought = make_kernel().cubin("sm_80")
    assert brought.compilers == "nvidia-nvvm=1"
    (path,) = folder.iterdir()
    written = path.stat().st_mtime_ns
    monkeypatch.setattr(compiler, "compilers", lambda: "nvidia-nvvm=2")
    assert make_kernel().cubin("sm_80") == brought
    assert compilations == ["sm_80"]
    assert path.stat().st_mtime_ns == written


def test_who_counts_registers_gets_what_the_compilers_here_make(folder, compilations, monkeypatch):
    ours = make_kernel().cubin("sm_80")
    assert make_kernel().measured("sm_80") == ours
    (path,) = folder.iterdir()
    path.write_bytes(replace(ours, compilers="nvidia-nvvm=1", log="of another").to_bytes())
    assert make_kernel().cubin("sm_80").log == "of another"
    made = make_kernel().measured("sm_80")
    assert made.compilers == ours.compilers and "registers" in made.log
    assert make_kernel().cubin("sm_80").log == "of another"
    assert compilations == ["sm_80", "sm_80"]


def test_what_a_driver_does_not_load_is_built_anew_and_kept_if_there_is_room(folder, packaged, archive):
    packaged(archive)
    kernel = make_kernel()
    refused = kernel.cubin("sm_80")
    assert refused.code == b"\x7fELF far away"
    rebuilt = kernel.rebuilt("sm_80", refused)
    assert kernel.rebuilt("sm_80", refused) is rebuilt  # as another thread would ask
    assert kernel.cubin("sm_80") == make_kernel().cubin("sm_80") == rebuilt
    assert rebuilt.compilers == compiler.compilers()
    assert kernel.rebuilt("sm_80", rebuilt) is None
    (path,) = folder.iterdir()
    brought = replace(rebuilt, compilers="nvidia-nvvm=1").to_bytes()
    path.write_bytes(brought)
    other = make_kernel()
    assert other.rebuilt("sm_80", other.cubin("sm_80")).compilers == compiler.compilers()
    assert path.read_bytes() == brought


@pytest.fixture
def packaged(monkeypatch):
    """`packaged(cubins)`: the package has come with these files, for every architecture."""
    cubins._packaged.cache_clear()

    def come_with(files):
        archive = cubins.Archive(files)
        monkeypatch.setattr(cubins, "_packaged", lambda arch: archive)

    yield come_with


@pytest.fixture
def archive(tmp_path):
    """The bytes of an archive with the machine code of `scale` for sm_80, made by a compiler far away."""
    found = Cubin(b"\x7fELF far away", "scale", "of another machine", "nvidia-nvvm=1")
    write_archive(tmp_path / "sm_80.zip", {make_kernel().file_name("sm_80"): found.to_bytes()})
    return (tmp_path / "sm_80.zip").read_bytes()


def test_machine_code_that_came_with_the_package_needs_no_compiler(folder, packaged, archive, compilations):
    packaged(archive)
    assert make_kernel().cubin("sm_80").code == b"\x7fELF far away"
    assert compilations == [] and not list(folder.iterdir())


def test_a_damaged_file_of_an_archive_is_done_without(folder, packaged, archive, compilations):
    at = archive.index(b".cubin") + 20
    packaged(archive[:at] + bytes(8) + archive[at + 8 :])
    assert make_kernel().cubin("sm_80").compilers == compiler.compilers()
    assert compilations == ["sm_80"]


def test_it_is_not_taken_for_other_sources(folder, packaged, archive, compilations, monkeypatch):
    packaged(archive)
    monkeypatch.setattr(compiled, "sources_of", lambda function: ("another source",))
    assert make_kernel().cubin("sm_80").code != b"\x7fELF far away"
    assert compilations == ["sm_80"]


def test_a_program_without_source_files_takes_what_came_with_it(folder, packaged, archive, monkeypatch):
    packaged(archive)
    monkeypatch.setattr(compiled, "sources_of", lambda function: ())
    assert make_kernel().cubin("sm_80").code == b"\x7fELF far away"


def test_a_checkout_has_no_archives_and_a_damaged_one_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "cubins").mkdir()
    (tmp_path / "cubins" / "sm_80.zip").write_bytes(b"PK damaged")
    monkeypatch.setattr(cubins, "files", lambda package: tmp_path)
    for arch in ("sm_80", "sm_90a"):
        cubins._packaged.cache_clear()
        assert cubins.packaged(arch) == frozenset()
    cubins._packaged.cache_clear()


def test_a_missing_compiler_is_looked_for_once_and_said_with_the_command_that_installs_it(
    folder, monkeypatch
):
    tried = []
    monkeypatch.setattr(compiler, "nvvm", lambda: tried.append(1) or no_compiler())
    compiler.why_there_is_no_compiler.cache_clear()
    try:
        for arch in ("sm_80", "sm_90a"):
            with pytest.raises(
                NoCompiler, match=r"libnvvm\.so.*pip install 'gpuconv\[compile13\]'"
            ) as raised:
                make_kernel().cubin(arch)
            assert str(raised.value).startswith(f"scale did not come compiled for {arch}, and there is no ")
        assert tried == [1]
    finally:
        compiler.why_there_is_no_compiler.cache_clear()


def no_compiler():
    raise FileNotFoundError("libnvvm.so")


def test_a_kernel_that_does_not_compile_says_why_each_time(folder):
    def wrong(x):
        x[0] = "text"

    kernel = Kernel("wrong", lambda: wrong, {types.CPointer(float32): "x"}, 32, 1)
    for _ in range(2):
        with pytest.raises(Exception, match=r"text|unicode|setitem"):
            kernel.cubin("sm_80")


def test_the_compilers_of_both_toolkits_are_told_apart(monkeypatch):
    compiler.compilers.cache_clear()
    monkeypatch.setattr(compiler, "version", {"numba": "1", "nvidia-cuda-nvcc-cu12": "12.9"}.__getitem__)
    monkeypatch.setattr(compiler, "PackageNotFoundError", KeyError)
    assert compiler.compilers() == "numba=1 nvidia-cuda-nvcc-cu12=12.9"
    compiler.compilers.cache_clear()


def test_the_key_depends_on_all_that_a_kernel_of_a_room_is_made_of():
    kernel = next(iter(KERNELS_BY_TILE.values()))
    texts = sources_of(kernel.function)
    rooms = "conv/implicit_gemm/gather.py", "conv/implicit_gemm/tiles.py", "device/division.py"
    wanted = [PACKAGE / "cuda" / name for name in (*rooms, "device/epilogue.py", "ptx/fragments.py")]
    assert all(path.read_text() in texts for path in wanted)
    assert (PACKAGE / "cuda" / "conv" / "stem" / "load.py").read_text() not in texts
    assert (PACKAGE / "cuda" / "runtime" / "compiler.py").read_text() in texts
    assert (PACKAGE / "cuda" / "runtime" / "launch.py").read_text() not in texts
    elements = sources_of(next(iter(SLIDING.values())).function)
    assert (PACKAGE / "spec" / "dtypes.py").read_text() in elements


PLACES = [
    path for room in ("conv", "pool", "device", "ptx") for path in (PACKAGE / "cuda" / room).rglob("*.py")
]


def runtime_in_kernels(tree):
    """The names of the runtime, whose sources no key depends on, that a kernel may depend on.

    Those in constants of the module, in functions for kernels, and in functions that make such functions.
    """
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gpuconv.cuda.runtime")
        for alias in node.names
    } - {"Kernel", "Gpu"}
    for node in tree.body:
        inner = [each for each in ast.walk(node) if isinstance(each, ast.FunctionDef)]
        is_for_kernels = inner[1:] or (inner and "jit" in " ".join(map(ast.unparse, inner[0].decorator_list)))
        if isinstance(node, ast.Assign | ast.AnnAssign) or is_for_kernels:
            yield from (each.id for each in ast.walk(node) if isinstance(each, ast.Name) and each.id in names)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_kernel_depends_on_the_runtime(path):
    assert not list(runtime_in_kernels(ast.parse(path.read_text())))


def test_a_kernel_that_depends_on_the_runtime_is_found():
    text = "from gpuconv.cuda.runtime.cost import ISSUE\nT = 4 * ISSUE\ndef make():\n    def f(): ISSUE\n"
    assert list(runtime_in_kernels(ast.parse(text))) == ["ISSUE", "ISSUE"]
