"""What several tests of the launch path share."""

import pytest

from gpuconv.cuda import launch as launching
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
