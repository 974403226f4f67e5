"""What several tests of kernels and of the launch path share."""

import os
import re

import pytest

from gpuconv.cuda import KERNELS
from gpuconv.cuda.runtime import driver as driving
from gpuconv.cuda.runtime import gpu as describing
from gpuconv.cuda.runtime import launch as launching
from gpuconv.cuda.runtime.compiled import Kernel
from tests.cuda.noting_driver import CACHES, NotingDriver


@pytest.fixture
def driver(monkeypatch):
    """A driver that takes notes, in the place of CUDA's."""
    noting = NotingDriver()
    for module in (driving, describing, launching):
        monkeypatch.setattr(module, "driver", noting)
    for cache in CACHES:
        cache.cache_clear()
    yield noting
    for cache in CACHES:
        cache.cache_clear()


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
