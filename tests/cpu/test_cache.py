"""Compiled kernels kept on disk: found again, never mixed up, and done without where there is no folder."""

import shutil
from pathlib import Path

import numba
import pytest

from gpuconv.cpu import KERNELS
from gpuconv.cpu.engine import cache, compiled, sources
from gpuconv.cpu.pool import direct
from gpuconv.spec.dtypes import FLOATS
from tests.conftest import ROOT
from tests.sampling import few

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
def calls(dtype="float32"):
    for shape in ((1, 1, 4, 4), (2, 3, 5, 7)):
        for x in (np.ones(shape, dtype), np.ones(shape, dtype)[:, ::-1, ::2].transpose(0, 1, 3, 2)):
            assert (gpuconv.avg_pool2d(x, 2, 1, algorithm="pool_direct") == 1).all()
calls()
"""
REPORT = 'print(len(compiled), ",".join(sorted({level for level, _ in said})))'
OTHER_PROCESSOR = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}

# No user's folder, as where a container's user has no home: what would be there lies in a file.
HOMELESS = {"HOME": "/dev/null", "XDG_CACHE_HOME": "", "LOCALAPPDATA": ""}
READ_ONLY = """
import pathlib, tempfile
def refuse(*arguments, **options): raise OSError(30, "Read-only file system")
tempfile.TemporaryFile = pathlib.Path.mkdir = refuse
"""
REFUSING = """
from numba.core import caching
def refuse(*arguments): raise OSError(28, "No space left on device")
caching.IndexDataCacheFile._open_for_write = refuse
"""


def files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.suffix in (".nbi", ".nbc"))


@pytest.fixture(scope="module")
def filled_once(tmp_path_factory, fresh_python):
    folder = tmp_path_factory.mktemp("filled")
    assert fresh_python(CALLS + REPORT, NUMBA_CACHE_DIR=str(folder)) == "1"
    assert {path.suffix for path in files(folder)} == {".nbi", ".nbc"}
    return folder


@pytest.fixture
def filled(filled_once, tmp_path):
    """A copy of a cache folder that one process has filled."""
    return shutil.copytree(filled_once, tmp_path / "cache")


def test_a_second_process_compiles_nothing(filled, fresh_python):
    assert fresh_python(CALLS + REPORT, NUMBA_CACHE_DIR=str(filled)) == "0"


def test_a_second_process_loads_nothing_that_only_compiling_takes(filled, fresh_python):
    code = CALLS + 'print("numba.np.arraymath" in sys.modules, "numba.typed.typeddict" in sys.modules)'
    assert fresh_python(code, NUMBA_CACHE_DIR=str(filled)) == "False False"


@pytest.mark.wide  # processes that compile
def test_a_second_process_finds_every_kernel_on_disk(fresh_python):
    code = (
        COUNT
        + """
import gpuconv.cpu
for kernel in gpuconv.cpu.KERNELS:
    for dtype in kernel.dtypes:
        kernel[dtype]
print(compiled)
"""
    )
    fresh_python(code, timeout=300)  # which may compile them all
    assert fresh_python(code) == "[]"


def test_nothing_is_compiled_by_an_import(fresh_python, tmp_path):
    code = "import gpuconv, gpuconv.cpu; print(len(gpuconv.cpu.pool.direct.max_rows.dispatchers))"
    assert fresh_python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "0"
    assert files(tmp_path) == []


@pytest.mark.wide  # processes that compile
def test_a_kernel_of_one_dtype_is_not_compiled_for_the_others(tmp_path, fresh_python):
    assert fresh_python(CALLS + "print(compiled)", NUMBA_CACHE_DIR=str(tmp_path)) == "['mean_rows']"


# What code depends on


@pytest.fixture
def copy(tmp_path):
    """A folder with a copy of the package, which may be edited."""
    shutil.copytree(ROOT / "gpuconv", tmp_path / "gpuconv", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def in_place_of_the_package(path):
    """The environment in which `import gpuconv` finds another one."""
    return {"PYTHONPATH": str(path), "PYTHONSAFEPATH": "1"}


@pytest.mark.wide  # processes that compile
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
    code = "from gpuconv.cpu.engine import sources; print('.zip' in sources.__file__, sources.digest())"
    assert fresh_python(code, **in_place_of_the_package(copy / "package.zip")) == f"True {sources.digest()}"


@pytest.mark.wide  # seconds of fresh processes
def test_a_package_without_files_is_known_by_its_bytecode(copy, fresh_python):
    code = """
import importlib.resources
of = importlib.resources.files
def files(package):
    if package == "gpuconv.cpu": raise FileNotFoundError(package)
    return of(package)
importlib.resources.files = files
import gpuconv.cpu
print(gpuconv.cpu.engine.sources.digest())
"""

    def run(seed):
        return fresh_python(code, **in_place_of_the_package(copy), PYTHONHASHSEED=seed)

    digest = run("1")
    assert run("2") == digest != sources.digest()
    edited = copy / "gpuconv" / "cpu" / "simd" / "vectors.py"
    edited.write_text(edited.read_text() + "\ndef another(a):\n    return a in {'x', 'y', 'z'}\n")
    assert run("1") == run("2") != digest


def test_a_key_holds_all_that_code_depends_on(monkeypatch):
    kernel, other = KERNELS[:2]
    codegen = numba.core.registry.cpu_target.target_context.codegen()
    ours = kernel["float32"]._cache
    keys = [ours.key((numba.float32,), codegen), ours.key((numba.float64,), codegen)]
    keys.append(cache.KernelCache("another name", kernel.function).key((numba.float32,), codegen))
    keys.append(cache.KernelCache(kernel.name, other.function).key((numba.float32,), codegen))
    changes = [(cache.simd, "description", lambda: "another tile"), (sources, "digest", lambda: "others")]
    changes += [(numba, "__version__", "0.0"), (cache.llvmlite, "__version__", "0.0")]
    changes += [(numba.config, setting, "another") for setting in cache.SETTINGS]
    changes += [(type(codegen), "magic_tuple", lambda self: ("triple", "another", "+avx2"))]
    for owner, name, value in changes:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            keys.append(ours.key((numba.float32,), codegen))
    assert len(set(keys)) == len(keys)
    assert ours.key((numba.float32,), codegen) == keys[0]


def test_two_functions_that_differ_by_a_number_are_two():
    def makes(number):
        return [
            lambda: number,
            *(scope["f"] for scope in [{}] if not exec(f"def f(): return {number}", scope)),
        ]

    codegen = numba.core.registry.cpu_target.target_context.codegen()
    for one, two in zip(makes(1.5), makes(2.5), strict=True):
        assert one.__code__.co_code == two.__code__.co_code
        keys = {cache.KernelCache("kernel", function).key((), codegen) for function in (one, two)}
        assert len(keys) == 2


# Several processes


@pytest.mark.wide  # processes that compile
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


@pytest.mark.wide  # processes that compile
@pytest.mark.parametrize(
    ("dtype", "environment"),
    [("float64", {}), ("float32", OTHER_PROCESSOR), ("float32", {"NUMBA_OPT": "1"})],
    ids=["another type", "another processor", "other settings"],
)
def test_two_processes_that_write_at_once_mix_nothing_up(dtype, environment, tmp_path, fresh_python):
    """The other has read the index before this one writes it, and writes all before this one writes code."""
    other = f"""
from numba.core import caching
caching.IndexDataCacheFile._load_index = lambda self: {{}}
{CALLS.replace("calls()", f"calls({dtype!r})")}
"""
    code = f"""
import os, subprocess, sys
from numba.core import caching
save = caching.IndexDataCacheFile._save_data
def save_late(*arguments):
    subprocess.run([sys.executable, "-c", {other!r}], check=True, env={{**os.environ, **{environment!r}}})
    save(*arguments)
caching.IndexDataCacheFile._save_data = save_late
"""
    fresh_python(code + CALLS, NUMBA_CACHE_DIR=str(tmp_path))
    again = CALLS.replace("calls()", f"calls({dtype!r})")
    assert fresh_python(CALLS + REPORT, NUMBA_CACHE_DIR=str(tmp_path)) == "0"
    assert fresh_python(again + REPORT, NUMBA_CACHE_DIR=str(tmp_path), **environment) == "0"


# Damage


def a_bit_of_code(data):
    """The bytes with one bit of the middle changed."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("suffix", "damage"),
    few(
        [
            (".nbc", a_bit_of_code),
            (".nbi", lambda data: b""),
            (".nbi", lambda data: b"\x80\x05garbage" * 9),
            (".nbc", lambda data: data[: len(data) // 2]),
            (".nbc", lambda data: b"\x80\x05garbage" * 9),
        ],
        1,
    ),
    ids=["a bit of the code", "index emptied", "index of garbage", "code cut short", "code of garbage"],
)
def test_a_damaged_cache_is_replaced(suffix, damage, filled, fresh_python):
    for path in files(filled):
        if path.suffix == suffix:
            path.write_bytes(damage(path.read_bytes()))
    assert fresh_python(CALLS + REPORT, NUMBA_CACHE_DIR=str(filled)) == "1 WARNING"
    assert fresh_python(CALLS + REPORT, NUMBA_CACHE_DIR=str(filled)) == "0"


BOTH = (
    CALLS
    + 'calls("float64"); x = np.full((1, 1, 4, 4), -3.0, np.float32); x[..., 1] = 2\n'
    + ('assert (gpuconv.max_pool2d(x, 2, 1, algorithm="pool_direct") == [2, 2, -3]).all()\n')
)


@pytest.mark.wide  # processes that compile
@pytest.mark.parametrize("mixed", [(".nbc",), (".nbi",), (".nbc", ".nbi")], ids="+".join)
def test_a_file_of_one_kernel_in_the_place_of_another_s_is_replaced(mixed, tmp_path, fresh_python):
    """Code of another type fails to be called, and that of another function would compute wrong numbers."""
    assert fresh_python(BOTH + REPORT, NUMBA_CACHE_DIR=str(tmp_path)) == "3"
    for suffix in mixed:
        paths = [path for path in files(tmp_path) if path.suffix == suffix]
        texts = [path.read_bytes() for path in paths]
        for path, text in zip(paths, [*texts[1:], texts[0]], strict=True):
            path.write_bytes(text)
    assert fresh_python(BOTH + REPORT, NUMBA_CACHE_DIR=str(tmp_path)).split()[0] == "3"
    assert fresh_python(BOTH + REPORT, NUMBA_CACHE_DIR=str(tmp_path)) == "0"


@pytest.fixture
def kernel(monkeypatch, tmp_path):
    """A kernel compiled in this process, whose code can be written down: what was read cannot."""
    with monkeypatch.context() as patch:
        patch.setattr(cache, "readable_folders", lambda: iter(()))
        patch.setattr(cache, "writable_folder", lambda: tmp_path)
        made = compiled.Kernel(direct.mean_rows.function, direct.mean_rows.signature)
        for dtype in FLOATS:
            made[dtype]
    return made


def test_code_for_other_arguments_than_were_asked_for_is_not_taken(kernel):
    context = numba.core.registry.cpu_target.target_context
    (signature,) = kernel["float32"].signatures
    (result,) = kernel["float32"].overloads.values()
    code = cache.dumps(result._reduce())
    found = "key", cache.hashlib.sha256(code).digest(), code
    assert cache._rebuilt(found, "key", signature, context).signature.args == signature
    (other,) = kernel["float64"].signatures
    with pytest.raises(ValueError, match=r"it holds code for .*float32"):
        cache._rebuilt(found, "key", other, context)
    with pytest.raises(ValueError, match="other code than its name says"):
        cache._rebuilt(found, "another key", signature, context)


# No folder that can be written


@pytest.mark.wide  # processes that compile
def test_a_damaged_cache_that_cannot_be_written_is_survived(filled, fresh_python):
    for path in files(filled):
        path.write_bytes(b"garbage")
    code = REFUSING + CALLS + REPORT + "; print(said[-1])"
    counts, last = fresh_python(code, NUMBA_CACHE_DIR=str(filled)).splitlines()
    assert counts == "1 WARNING"
    assert "No space left" in last and "set GPUCONV_CACHE_DIR" in last


def test_a_filled_cache_that_can_only_be_read_is_read(filled, fresh_python):
    code = READ_ONLY + CALLS + REPORT
    assert fresh_python(code, NUMBA_CACHE_DIR=str(filled), **HOMELESS) == "0"
    shutil.move(filled / "gpuconv", filled / "cpu")
    assert fresh_python(code, GPUCONV_CACHE_DIR=str(filled), **HOMELESS) == "0"


@pytest.mark.wide  # processes that compile
def test_a_package_that_was_compiled_ahead_is_read_where_nothing_can_be_written(copy, fresh_python):
    def run(code):
        return fresh_python(code + CALLS + REPORT, **in_place_of_the_package(copy), **HOMELESS)

    assert run("") == "1"
    assert {path.parent.name for path in files(copy)} == {"__pycache__"}
    assert run(READ_ONLY) == "0"


@pytest.mark.wide  # processes that compile
def test_where_nothing_can_be_kept_it_is_said_once(copy, fresh_python):
    code = READ_ONLY + BOTH + "print(len(compiled), *said, sep='\\n')"
    count, *said = fresh_python(code, **in_place_of_the_package(copy), **HOMELESS).splitlines()
    assert count == "3"
    warnings = [line for line in said if "WARNING" in line]
    assert len(warnings) == 1
    for text in ("Read-only file system", "set GPUCONV_CACHE_DIR", "gpuconv compile --cpu", "__pycache__"):
        assert text in warnings[0]


@pytest.mark.wide  # processes that compile
def test_a_full_disk_is_survived_and_said_once(tmp_path, fresh_python):
    code = REFUSING + BOTH + REPORT + "; print(*said)"
    counts, said = fresh_python(code, NUMBA_CACHE_DIR=str(tmp_path)).splitlines()
    assert counts == "3 WARNING"
    assert said.count("WARNING") == 1 and "No space left on device" in said


def test_a_file_that_another_process_has_open_is_no_reason_to_warn(kernel, monkeypatch, caplog, tmp_path):
    """As on Windows, where it cannot be replaced then."""

    def refuse(*arguments):
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(cache, "writable_folder", lambda: tmp_path)
    monkeypatch.setattr(cache, "_reasons", [])
    monkeypatch.setattr(cache.IndexDataCacheFile, "_open_for_write", refuse)
    ((signature, result),) = kernel["float32"].overloads.items()
    with caplog.at_level("INFO", "gpuconv"):
        kernel["float32"]._cache.save_overload(signature, result)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert cache._reasons == []


@pytest.mark.wide  # seconds of fresh processes
@pytest.mark.parametrize("place", few(["file", "folder in a file"], 1))
def test_a_cache_folder_that_cannot_be_made_gives_way_to_the_next(place, tmp_path, fresh_python):
    (tmp_path / "file").write_text("no folder")
    named = tmp_path / "file" if place == "file" else tmp_path / "file" / "folder"
    code = CALLS + "print([each for each in said if each[0] == 'WARNING'])"
    variables = {"NUMBA_CACHE_DIR": str(named), "GPUCONV_CACHE_DIR": str(tmp_path / "next")}
    assert fresh_python(code, **variables) == "[]"
    assert {path.parent for path in files(tmp_path)} == {tmp_path / "next" / "cpu"}
