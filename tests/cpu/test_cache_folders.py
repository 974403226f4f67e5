"""Where compiled CPU kernels may lie, in which order, whatever a user's environment is."""

import os
import sys
from pathlib import Path

import numba
import pytest

from gpuconv.cpu.engine import cache
from tests.conftest import ROOT


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
def test_no_folder_moves_with_the_working_directory(folders, monkeypatch, tmp_path):
    relative = {"HOME": "home", "XDG_CACHE_HOME": "cache"}
    assert folders(**relative) == [IN_TREE]
    monkeypatch.chdir(tmp_path)
    assert folders(NUMBA_CACHE_DIR="numba")[0] == tmp_path / "numba" / "gpuconv"
    monkeypatch.chdir(ROOT)
    assert cache.folders()[0] == tmp_path / "numba" / "gpuconv"


@POSIX
def test_a_frozen_program_keeps_its_code_out_of_what_is_unpacked(folders, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "program"))
    expected = [Path("/user/gpuconv/cpu"), tmp_path / "gpuconv-cache"]
    assert folders(XDG_CACHE_HOME="/user") == expected
