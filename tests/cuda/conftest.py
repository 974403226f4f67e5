"""What several tests of kernels and of the launch path share."""

import pytest

from gpuconv.cuda import KERNELS
from gpuconv.cuda.runtime import driver as driving
from gpuconv.cuda.runtime import gpu as describing
from gpuconv.cuda.runtime import launch as launching
from gpuconv.cuda.runtime.compiled import Kernel
from tests.cuda.kept import Kept
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
def compiled_once(request, tmp_path_factory):
    """The engine's kernels are compiled once, and neither in each process nor in each run of the tests.

    Kernels in which a fault was planted are others, and compiled each time.
    """
    cache = getattr(request.config, "cache", None)  # None with -p no:cacheprovider
    ours, original = frozenset(KERNELS), Kernel.ptx
    kept = Kept(cache.mkdir("ptx") if cache else tmp_path_factory.mktemp("ptx"), original)

    def ptx(kernel, arch):
        return kept.ptx(kernel, arch) if kernel in ours else original(kernel, arch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "ptx", ptx)
        yield
    kept.prune()
