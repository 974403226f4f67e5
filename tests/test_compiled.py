"""What is compiled, and when: once for each dtype, never for a shape or a layout, and kept on disk."""

import shutil
from pathlib import Path

import numba
import numpy as np
import pytest

import gpuconv
from gpuconv.cpu import conv_direct, pool_direct
from gpuconv.cpu.compiled import Kernel
from tests.layouts import READABLE

KERNELS = [
    value
    for module in (conv_direct, pool_direct)
    for value in vars(module).values()
    if isinstance(value, Kernel)
]

# Counts what Numba compiles for calls of two shapes and layouts each, and keeps what the logger says.
CALLS = """
import logging, sys
from numba.core import event
compiled, said = [], []
class Listener(event.Listener):
    def on_start(self, e): compiled.append(e.data["dispatcher"].py_func.__name__)
    def on_end(self, e): pass
event.register("numba:compile", Listener())
handler = logging.Handler()
handler.emit = lambda record: said.append((record.levelname, record.getMessage()))
logging.getLogger("gpuconv").addHandler(handler)
logging.getLogger("gpuconv").setLevel("INFO")
import numpy as np, gpuconv
def calls():
    for shape in ((1, 1, 4, 4), (2, 3, 5, 7)):
        for x in (np.ones(shape, np.float32), np.ones(shape, np.float32)[:, ::-1, ::2].transpose(0, 1, 3, 2)):
            assert (gpuconv.avg_pool2d(x, 2, 1) == 1).all()
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
    code = "import gpuconv, gpuconv.cpu; print(len(gpuconv.cpu.pool_direct.max_rows.dispatchers))"
    assert fresh_python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "0"
    assert cache_files(tmp_path) == []


def test_a_kernel_of_one_dtype_is_not_compiled_for_the_others(tmp_path, fresh_python):
    assert fresh_python(CALLS + "print(compiled)", NUMBA_CACHE_DIR=str(tmp_path)) == "['avg_rows']"


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


def test_a_kernel_sees_its_inputs_as_read_only():
    for kernel in KERNELS:
        [signature] = kernel["float32"].signatures
        arrays = [kind for kind in signature if isinstance(kind, numba.types.Array)]
        assert not arrays[0].mutable
        assert all(kind.layout == "A" and not kind.aligned for kind in arrays)


def test_kernels_release_the_gil_and_use_none_of_numbas_threads():
    for kernel in KERNELS:
        options = kernel["float32"].targetoptions
        assert options["nogil"]
        assert not options.get("parallel")
