"""What several tests of kernels and of the launch path share."""

import pytest

from gpuconv.cuda.runtime import driver as driving
from gpuconv.cuda.runtime import gpu as describing
from gpuconv.cuda.runtime import launch as launching
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.cubins import Cubin
from tests.cuda.noting_driver import CACHES, NotingDriver


@pytest.fixture
def driver(monkeypatch):
    """A driver that takes notes, in the place of CUDA's; what it loads is no machine code."""
    noting = NotingDriver()
    monkeypatch.setattr(Kernel, "cubin", lambda kernel, arch: Cubin(b"code", kernel.name, "", ""))
    for module in (driving, describing, launching):
        monkeypatch.setattr(module, "driver", noting)
    for cache in CACHES:
        cache.cache_clear()
    yield noting
    for cache in CACHES:
        cache.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def compiled_once(kernels_compiled_once):
    """The engine's kernels are compiled once."""
