"""What results depend on: the commit, the day, the packages, and the allocator of the process."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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

    found: dict[str, str] = {"python": platform.python_version(), "gpuconv": gpuconv.__version__}
    return found | {name: text for name, text in versions(*PACKAGES).items() if text}


def versions(*packages: str) -> dict[str, str | None]:
    """Of each package, None where it is not installed, or by another package manager."""
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def today() -> str:
    """The date, in UTC."""
    return datetime.now(UTC).date().isoformat()


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
