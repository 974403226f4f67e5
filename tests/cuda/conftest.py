"""What several tests of kernels and of the launch path share."""

import pytest

from gpuconv.cuda.runtime import driver as driving
from gpuconv.cuda.runtime import gpu as describing
from gpuconv.cuda.runtime import launch as launching
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
def compiled_once(kernels_compiled_once):
    """The engine's kernels are compiled once."""
