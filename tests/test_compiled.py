"""What is compiled, and when: once for each dtype, never for a shape or a layout, and kept on disk."""

import inspect
import shutil
from pathlib import Path

import numba
import numpy as np
import pytest

import gpuconv
from gpuconv.cpu import KERNELS
from gpuconv.cpu.engine import compiled
from gpuconv.cpu.engine.workspace import reserve
from tests.conftest import ROOT
from tests.layouts import READABLE

COUNT = """
from numba.core import event
compiled = []
class Listener(event.Listener):
    def on_start(self, e): compiled.append(e.data["dispatcher"].py_func.__name__)
    def on_end(self, e): pass
event.register("numba:compile", Listener())
"""
# Counts what Numba compiles for calls of two shapes and layouts each, and keeps what the logger says.
CALLS = f"""{COUNT}
import logging, sys
said = []
handler = logging.Handler()
handler.emit = lambda record: said.append((record.levelname, record.getMessage()))
logging.getLogger("gpuconv").addHandler(handler)
logging.getLogger("gpuconv").setLevel("INFO")
import numpy as np, gpuconv
def calls():
    for shape in ((1, 1, 4, 4), (2, 3, 5, 7)):
        for x in (np.ones(shape, np.float32), np.ones(shape, np.float32)[:, ::-1, ::2].transpose(0, 1, 3, 2)):
            assert (gpuconv.avg_pool2d(x, 2, 1, algorithm="pool_direct") == 1).all()
calls()
"""
REPORT = 'print(len(compiled), ",".join(sorted({level for level, _ in said})))'


def cache_files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.suffix in (".nbi", ".nbc"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory, fresh_python):
    folder = tmp_path_factory.mktemp("filled")
    assert fresh_python(CALLS + REPORT, NUMBA_CACHE_DIR=str(folder)) == "1"
    assert {path.suffix for path in cache_files(folder)} == {".nbi", ".nbc"}
    return folder


@pytest.fixture
def cache(filled, tmp_path):
    """A copy of a cache folder that one process has filled."""
    return shutil.copytree(filled, tmp_path / "cache")


def test_a_second_process_compiles_nothing(cache, fresh_python):
    assert fresh_python(CALLS + REPORT, NUMBA_CACHE_DIR=str(cache)) == "0"


def test_a_second_process_finds_every_kernel_on_disk(fresh_python):
    code = (
        COUNT
        + """
import gpuconv.cpu
for kernel in gpuconv.cpu.KERNELS:
    for dtype in ("float32", "float64"):
        kernel[dtype]
print(compiled)
"""
    )
    fresh_python(code)
    assert fresh_python(code) == "[]"


@pytest.fixture
def copy(tmp_path):
    """A folder with a copy of the package, which may be edited."""
    shutil.copytree(ROOT / "gpuconv", tmp_path / "gpuconv", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def in_place_of_the_package(path):
    """The environment in which `import gpuconv` finds another one."""
    return {"PYTHONPATH": str(path), "PYTHONSAFEPATH": "1"}


def test_an_edit_of_what_kernels_are_compiled_from_compiles_them_anew(copy, fresh_python):
    def run():
        code = CALLS + 'assert gpuconv.__file__.startswith(sys.path[0]); print(*compiled, *said, sep=", ")'
        return fresh_python(code, **in_place_of_the_package(copy), NUMBA_CACHE_DIR=str(copy / "cache"))

    assert [run(), run()] == ["mean_rows", ""]
    simd = copy / "gpuconv" / "cpu" / "simd" / "vectors.py"
    before = simd.read_text()
    simd.write_text(f"{before}# edited\n")
    assert [run(), run()] == ["mean_rows", ""]
    simd.write_text(before)
    assert run() == ""  # it is still there
    (copy / "gpuconv" / "cpu" / "another.py").write_text("")
    assert run() == "mean_rows"


def test_a_package_in_an_archive_knows_its_sources(copy, fresh_python):
    shutil.make_archive(str(copy / "package"), "zip", copy, "gpuconv")
    code = "import gpuconv.cpu.engine.compiled as c; print('.zip' in c.__file__, c.SOURCES)"
    assert fresh_python(code, **in_place_of_the_package(copy / "package.zip")) == f"True {compiled.SOURCES}"


def test_kernels_of_another_tile_are_others(monkeypatch):
    kernel = KERNELS[0]
    cache = kernel["float32"]._cache
    codegen = numba.core.registry.cpu_target.target_context.codegen()
    keys = {cache._index_key((), codegen)}
    monkeypatch.setattr(compiled.simd, "description", lambda: "another")
    keys.add(cache._index_key((), codegen))
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".nbi", lambda data: b""),
        (".nbi", lambda data: b"\x80\x05garbage" * 9),
        (".nbc", lambda data: data[: len(data) // 2]),
        (".nbc", lambda data: b"\x80\x05garbage" * 9),
    ],
    ids=["index emptied", "index of garbage", "code cut short", "code of garbage"],
)
def test_a_damaged_cache_is_replaced(suffix, damage, cache, fresh_python):
    for path in cache_files(cache):
        if path.suffix == suffix:
            path.write_bytes(damage(path.read_bytes()))
    assert fresh_python(CALLS + REPORT, NUMBA_CACHE_DIR=str(cache)) == "1 WARNING"
    assert fresh_python(CALLS + REPORT, NUMBA_CACHE_DIR=str(cache)) == "0"


REFUSING = """
from numba.core import caching
def refuse(*arguments): raise OSError(28, "No space left on device")
caching.IndexDataCacheFile._open_for_write = refuse
"""


def test_a_damaged_cache_that_cannot_be_written_is_survived(cache, fresh_python):
    for path in cache_files(cache):
        path.write_bytes(b"garbage")
    assert fresh_python(REFUSING + CALLS + REPORT, NUMBA_CACHE_DIR=str(cache)) == "1 INFO,WARNING"


def test_a_cache_that_cannot_be_written_is_survived(tmp_path, fresh_python):
    assert fresh_python(REFUSING + CALLS + REPORT, NUMBA_CACHE_DIR=str(tmp_path)) == "1 INFO"


def test_no_folder_for_a_cache_anywhere_is_survived(fresh_python):
    nowhere = """
from numba.core import caching
def refuse(self): raise PermissionError(13, "read-only")
caching._CacheLocator.ensure_cache_path = refuse
"""
    assert fresh_python(nowhere + CALLS + REPORT) == "1 INFO"


@pytest.mark.parametrize("place", ["file", "folder in a file"])
def test_a_cache_folder_that_cannot_be_made_is_survived(place, tmp_path, fresh_python):
    (tmp_path / "file").write_text("no folder")
    folder = tmp_path / "file" if place == "file" else tmp_path / "file" / "folder"
    assert fresh_python(CALLS + REPORT, NUMBA_CACHE_DIR=str(folder))[0] in "01"  # Numba tries other folders


def test_two_processes_may_fill_one_cache_at_once(tmp_path, fresh_python):
    code = f"""
import subprocess, sys
other = subprocess.Popen([sys.executable, "-c", {CALLS + REPORT!r}], stdout=subprocess.PIPE, text=True)
exec({CALLS!r})
print(other.communicate()[0].strip(), other.returncode, len(compiled))
"""
    first, status, second = fresh_python(code, NUMBA_CACHE_DIR=str(tmp_path)).split()
    assert (status, {first, second} <= {"0", "1"}) == ("0", True)
    assert fresh_python(CALLS + REPORT, NUMBA_CACHE_DIR=str(tmp_path)) == "0"


def test_nothing_is_compiled_by_an_import(fresh_python, tmp_path):
    code = "import gpuconv, gpuconv.cpu; print(len(gpuconv.cpu.pool.direct.max_rows.dispatchers))"
    assert fresh_python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "0"
    assert cache_files(tmp_path) == []


def test_a_kernel_of_one_dtype_is_not_compiled_for_the_others(tmp_path, fresh_python):
    assert fresh_python(CALLS + "print(compiled)", NUMBA_CACHE_DIR=str(tmp_path)) == "['mean_rows']"


def test_without_a_compiler_a_call_says_so(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    kernel = compiled.Kernel(KERNELS[0].function, KERNELS[0].signature)
    with pytest.raises(RuntimeError, match="NUMBA_DISABLE_JIT is set, and the CPU engine runs only"):
        kernel["float32"]


def test_there_are_kernels():
    assert len(KERNELS) >= 3


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.function.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_shape_and_no_layout_is_compiled_anew(kernel, dtype):
    for layout in READABLE.values():
        x, w = (layout(np.ones(shape, dtype)) for shape in ((2, 3, 5, 7), (4, 3, 2, 2)))
        gpuconv.conv2d(x, w)
        gpuconv.max_pool2d(x, 2, return_indices=True)
        gpuconv.avg_pool2d(x, 2)
    dispatcher = kernel[dtype]
    assert len(dispatcher.signatures) == 1
    assert not dispatcher._can_compile


def test_a_kernel_takes_arrays_of_any_layout_and_sees_its_inputs_as_read_only():
    for kernel in KERNELS:
        [signature] = kernel["float32"].signatures
        kinds = dict(zip(inspect.signature(kernel.function).parameters, signature, strict=True))
        given = {name: kinds[name] for name in ("x", "w", "bias", "y", "indices") if name in kinds}
        assert {name for name, kind in given.items() if kind.mutable} <= {"y", "indices"}
        assert not any(kind.aligned for name, kind in given.items() if name != "indices")
        assert {kind.layout for name, kind in given.items() if name in ("x", "y")} <= {"A"}
        assert given


def test_a_workspace_is_what_a_kernel_takes_for_one():
    for dtype in (numba.float32, numba.float64, numba.int64):
        (array,) = reserve("a test", dtype.name, 5)
        assert numba.typeof(array) == compiled.workspace(dtype)
        assert compiled.workspace(dtype).mutable


def test_kernels_release_the_gil_and_use_none_of_numbas_threads():
    for kernel in KERNELS:
        options = kernel["float32"].targetoptions
        assert options["nogil"]
        assert not options.get("parallel")
