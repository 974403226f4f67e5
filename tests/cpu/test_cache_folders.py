"""Where compiled CPU kernels may lie, in which order, whatever a user's environment is."""

import os
import sys
from pathlib import Path

import numba
import pytest

from gpuconv.cpu.engine import cache
from tests.conftest import ROOT
from tests.sampling import few


@pytest.fixture
def folders(monkeypatch):
    """`folders(**environment)`: where kernels may lie in such an environment."""

    def found(**environment):
        for name in ("GPUCONV_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(numba.config, "CACHE_DIR", environment.pop("NUMBA_CACHE_DIR", ""))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        cache.folders.cache_clear()
        return list(cache.folders())

    yield found
    monkeypatch.undo()
    cache.folders.cache_clear()


IN_TREE = ROOT / "gpuconv" / "cpu" / "__pycache__"
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has other names for a user's folders")


@POSIX
def test_folders_in_order(folders):
    named = {"NUMBA_CACHE_DIR": "/numba", "GPUCONV_CACHE_DIR": "/ours", "XDG_CACHE_HOME": "/user"}
    expected = [Path("/numba/gpuconv"), Path("/ours/cpu"), IN_TREE, Path("/user/gpuconv/cpu")]
    assert folders(**named) == expected
    assert folders(HOME="/home/someone") == [IN_TREE, Path("/home/someone/.cache/gpuconv/cpu")]


@POSIX
def test_a_user_without_a_home_has_no_folder(folders, monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert folders() == [IN_TREE]


@POSIX
def test_a_relative_folder_of_the_user_is_none(folders):
    assert folders(HOME="home", XDG_CACHE_HOME="cache") == [IN_TREE]


CALL = """
import numpy as np, gpuconv
gpuconv.avg_pool2d(np.ones((1, 1, 4, 4)), 2, algorithm="pool_direct")
"""
FOLDERS = """
from gpuconv.cpu.engine import cache
from gpuconv.cuda.runtime import cubins
for folder in (cache.folders()[0], cache.writable_folder(), cubins.cache_folder()): print(folder)
"""


@pytest.mark.parametrize("variable", few(["NUMBA_CACHE_DIR", "GPUCONV_CACHE_DIR"], 1))
def test_no_folder_moves_with_the_working_directory(variable, fresh_python, tmp_path):
    code = f"""
import os
os.chdir({str(tmp_path)!r})
import gpuconv
os.mkdir("elsewhere")
os.chdir("elsewhere")
{CALL + FOLDERS}
"""
    named = {"NUMBA_CACHE_DIR": "", "GPUCONV_CACHE_DIR": "", variable: "here"}
    first, second, cubins = fresh_python(code, **named).splitlines()
    there = tmp_path / "here"
    room = {"NUMBA_CACHE_DIR": "gpuconv", "GPUCONV_CACHE_DIR": "cpu"}[variable]
    assert first == second == str(there / room)
    assert any((there / room).iterdir()) and not any((tmp_path / "elsewhere").iterdir())
    assert cubins == str(there) or variable == "NUMBA_CACHE_DIR"


@pytest.mark.wide  # seconds of fresh processes
@POSIX
@pytest.mark.parametrize("relative", few(["NUMBA_CACHE_DIR", "GPUCONV_CACHE_DIR"], 1))
def test_a_program_in_a_deleted_folder_passes_over_a_relative_one(relative, fresh_python, tmp_path):
    """Its kernels come from the next folder: Numba itself compiles nothing there."""
    code = f"""
import os, pathlib, numba
gone = pathlib.Path({str(tmp_path / "gone")!r})
gone.mkdir()
os.chdir(gone)
gone.rmdir()
{CALL + FOLDERS}
"""
    rooms = {"NUMBA_CACHE_DIR": "gpuconv", "GPUCONV_CACHE_DIR": "cpu"}
    room = rooms.pop(relative)
    ((absolute, room),) = rooms.items()
    named = {relative: "", absolute: str(tmp_path / "filled")}
    fresh_python(CALL, **named)
    first, second, cubins = fresh_python(code, **{**named, relative: "relative"}).splitlines()
    assert first == second == str(tmp_path / "filled" / room)
    assert cubins == ("None" if relative == "GPUCONV_CACHE_DIR" else str(tmp_path / "filled"))


@POSIX
def test_a_frozen_program_keeps_its_code_out_of_what_is_unpacked(folders, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "program"))
    expected = [Path("/user/gpuconv/cpu"), tmp_path / "gpuconv-cache"]
    assert folders(XDG_CACHE_HOME="/user") == expected
