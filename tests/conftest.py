"""What all tests share: poisoned results, fresh interpreters, and a visible skip where there is no GPU."""

import functools
import gc
import hashlib
import math
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from gpuconv import arrays
from gpuconv.cpu.engine import workspace
from tests import sampling

ROOT = Path(__file__).parents[1]

if not hasattr(np, "row_stack"):
    np.row_stack = np.vstack  # which numba-cuda 0.30 asks NumPy 2.5 for; some tests import it by themselves

# A first call compiles, which takes seconds.
hypothesis.settings.register_profile("gpuconv", deadline=None)
hypothesis.settings.load_profile("gpuconv")

# Where files of tests begin, those that take longest first: the last to end is then a short one.
LONGEST_FIRST = (
    "tests/profiling/counts/test_kernels", "tests/cuda/", "tests/cpu/", "tests/test_", "tests/ptx/", "tests/",
)  # fmt: skip


def pytest_addoption(parser):
    group = parser.getgroup("gpuconv")
    group.addoption("--minutes", type=float, help="start no test later than this; the others are skipped")
    group.addoption("--order", help="any text; tests run in an order of their own for each")


@pytest.hookimpl(tryfirst=True)  # marks must be there when pytest selects by them
def pytest_collection_modifyitems(config, items):
    sampling.mark_wide(items)
    order = config.getoption("order")
    if order is None:
        items.sort(key=_rank)
    else:
        items.sort(key=lambda item: hashlib.sha256(f"{order} {item.nodeid}".encode()).digest())


def _rank(item):
    return next((i for i, start in enumerate(LONGEST_FIRST) if item.nodeid.startswith(start)), -1)


def pytest_configure(config):
    """Tests and compilers make objects by the million: looking for garbage takes a tenth of the time."""
    gc.set_threshold(100_000, 50, 50)
    missing = [f"*/gpuconv/{name}/*" for name in ("jax", "torch") if find_spec(name) is None]
    config.option.ignore_glob = [*(config.option.ignore_glob or []), *missing]  # whose examples need it


def pytest_sessionstart(session):
    minutes = session.config.getoption("minutes")
    session.deadline = time.monotonic() + 60 * (math.inf if minutes is None else minutes)


def pytest_collection_finish():
    """What is there now stays to the end, and is not looked through again."""
    gc.collect()
    gc.freeze()


@functools.cache
def missing_gpu() -> str | None:
    """Why nothing can run on a CUDA device here, or None."""
    try:
        import cupy

        return None if cupy.cuda.runtime.getDeviceCount() else "CuPy sees no CUDA device"
    except Exception as error:  # a missing package, library, driver or device: each is a reason to skip
        return f"no CUDA device: {type(error).__name__}: {error}"


def pytest_runtest_setup(item):
    if time.monotonic() > item.session.deadline:
        pytest.skip("not run: the --minutes are over")
    if item.get_closest_marker("gpu") and (reason := missing_gpu()):
        pytest.skip(reason)


def poison_of(dtype):
    """A value that no kernel leaves in a result, or takes from a workspace, by mistake."""
    return {"f": np.nan, "V": np.nan, "c": np.nan, "i": -77}.get(dtype.kind, 177)


def poison(array, dtype):
    """Fill a fresh result with poison."""
    value = poison_of(dtype)
    fill = getattr(array, "fill_", None) or getattr(array, "fill", None)
    if fill is not None:  # Numba's device arrays have neither
        fill(value)


@pytest.fixture(scope="session", autouse=True)
def poisoned_results():
    """Every array that the package makes for a result holds NaN (or -77) until a kernel fills it."""
    with pytest.MonkeyPatch.context() as patch:
        kinds = [arrays.Library]
        while kinds:
            kind = kinds.pop()
            kinds += kind.__subclasses__()
            if "empty" in vars(kind):
                patch.setattr(kind, "empty", _poisoning(kind.empty))
        yield


@pytest.fixture(scope="session", autouse=True)
def poisoned_workspaces():
    """Every workspace holds NaN (or -77) each time it is handed out, whatever the last kernel left there."""

    def poisoned(arrays_of_slot):
        for array in arrays_of_slot:
            array.fill(poison_of(array.dtype))
        return arrays_of_slot

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workspace, "_hand_out", poisoned)
        yield


def _poisoning(empty):
    @functools.wraps(empty)
    def poisoned_empty(self, shape, dtype, like):
        array = empty(self, shape, dtype, like)
        poison(array, dtype)
        return array

    return poisoned_empty


@pytest.fixture(scope="session")
def kernels_compiled_once(request, tmp_path_factory):
    """The CUDA kernels are compiled once, and neither in each process nor in each run of the tests.

    Kernels in which a fault was planted are others, and compiled each time. It is one fixture for all folders
    of tests: two of them, one within the other, would wait for each other.
    """
    from gpuconv.cuda import KERNELS
    from gpuconv.cuda.runtime.compiled import Kernel
    from tests.cuda.kept import Kept

    cache = getattr(request.config, "cache", None)  # None with -p no:cacheprovider
    ours, original = frozenset(KERNELS), Kernel.ptx
    kept = Kept(cache.mkdir("ptx") if cache else tmp_path_factory.mktemp("ptx"), original)

    def ptx(kernel, arch, lowered=None):
        return kept.ptx(kernel, arch) if kernel in ours else original(kernel, arch, lowered)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "ptx", ptx)
        yield
    kept.prune()


@pytest.fixture(scope="session")
def fresh_python():
    """`fresh_python(code, **environment)` runs code in a new interpreter and returns what it printed."""

    def run(code: str, timeout: float = 100, **environment: str) -> str:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        finished = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert finished.returncode == 0, f"exit status {finished.returncode}:\n{finished.stderr}"
        return finished.stdout.strip()

    return run


@pytest.fixture
def threads():
    """`gpuconv.set_num_threads`, with the number put back after the test."""
    import gpuconv

    before = gpuconv.get_num_threads()
    yield gpuconv.set_num_threads
    gpuconv.set_num_threads(before)


@pytest.fixture
def limit_workspace():
    """`gpuconv.set_workspace_limit`, with the limit put back after the test."""
    import gpuconv
    from gpuconv.workspace import workspace_limit

    before = workspace_limit()
    yield gpuconv.set_workspace_limit
    gpuconv.set_workspace_limit(before)
