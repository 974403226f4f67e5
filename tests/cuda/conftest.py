"""What several tests of kernels and of the launch path share."""

import os
import re

import pytest

from gpuconv.cuda import KERNELS
from gpuconv.cuda.runtime import launch as launching
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.launch import Launch
from tests.cuda import execution
from tests.cuda.noting_driver import CACHES, NotingDriver


@pytest.fixture
def driver(monkeypatch):
    """A driver that takes notes, in the place of CUDA's."""
    noting = NotingDriver()
    monkeypatch.setattr(launching, "driver", noting)
    for cache in CACHES:
        cache.cache_clear()
    yield noting
    for cache in CACHES:
        cache.cache_clear()


@pytest.fixture
def launched(monkeypatch):
    """The launches of a test, each carried out by the executor."""
    found = []

    def start(self, output, *arrays):
        found.append(self)
        if self.blocks:
            execution.execute(self, *arrays)

    monkeypatch.setattr(Launch, "start", start)
    return found


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """The engine's kernels are compiled once in a test run, and not in each of its processes.

    Kernels in which a fault was planted are others, and compiled each time.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all processes
    original, ours = Kernel.ptx, frozenset(KERNELS)

    def ptx(self, arch):
        name = re.sub(r"\W+", "-", self.name)
        path = folder / f"{name}-{arch}.ptx"
        if self in ours and path.exists():
            return path.read_text()
        text = original(self, arch)
        if self in ours:
            written = path.with_suffix(f".{os.getpid()}")
            written.write_text(text)
            written.replace(path)
        return text

    Kernel.ptx = ptx
    yield
    Kernel.ptx = original
