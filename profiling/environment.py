"""The process that measures: its allocator, the versions in it, and what an import costs in a fresh one."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from profiling.timing import Timing

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "numpy", "numba", "llvmlite", "numba-cuda", "cupy-cuda12x", "cupy-cuda13x", "torch", "scipy",
    "opencv-python", "opencv-python-headless",
)  # fmt: skip

# By default glibc returns large blocks to the kernel when they are freed, and each new result then costs a
# page fault per 4 KB: a time that depends on what was freed before, and that is neither library's.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}


def restart_with_fair_allocator() -> None:
    """Start this process anew with ALLOCATOR in its environment, once; what the user has set stays.

    glibc reads these variables when a process starts, so setting them from within comes too late.
    """
    missing = {name: value for name, value in ALLOCATOR.items() if name not in os.environ}
    if missing and platform.libc_ver()[0] == "glibc":
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **missing})


def settings() -> dict[str, str]:
    """What the environment says about the allocator and about OpenMP."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name in ALLOCATOR or name.startswith(("OMP_", "GOMP_", "KMP_", "MKL_"))
    }


def packages() -> dict[str, str]:
    """Versions of Python, gpuconv and whatever takes part and is installed."""
    import gpuconv

    found = {"python": platform.python_version(), "gpuconv": gpuconv.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit that is measured, with "+changes" if files differ from it; None outside a repository."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD").strip()
        return head + ("+changes" if _git("status", "--porcelain", "gpuconv", "profiling") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def import_times(modules: tuple[str, ...], repeats: int) -> list[Timing]:
    """The time of importing each module in a fresh Python, the modules taking turns."""
    times: list[list[float]] = [[] for _ in modules]
    for turn in range(repeats + 1):
        for module, series in zip(modules, times, strict=True):
            milliseconds = _import_once(module)
            if turn > 0:  # the first fills the disk cache and writes bytecode
                series.append(milliseconds)
    return [Timing.of(series) for series in times]


def _import_once(module: str) -> float:
    program = (
        "import time; begin = time.perf_counter()\n"
        f"import {module}\n"
        "print(1e3 * (time.perf_counter() - begin))"
    )
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
