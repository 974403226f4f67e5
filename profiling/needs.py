"""What a command needs beside NumPy and Numba, looked for before it begins to work.

What is missing is one line that names the extra of a checkout which brings it, and exit code 2.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec

# Modules, and the packages that they come with.
COUNTING = {
    "numba_cuda": "numba-cuda", "cuda.core": "cuda-core", "cuda.pathfinder": "cuda-pathfinder",
    "ml_dtypes": "ml-dtypes",
}  # fmt: skip
LAUNCHING = {"cupy": "CuPy", "cuda.bindings": "cuda-bindings"}
COUNTING_EXTRA, LAUNCHING_EXTRA = "test", "cuda13"


def executing(command: str) -> None:
    """End unless the GPU kernels can be compiled and executed without a GPU."""
    require(command, COUNTING, COUNTING_EXTRA)


def counting(command: str) -> None:
    """End unless they can be disassembled too."""
    executing(command)
    find = import_module("cuda.pathfinder").find_nvidia_binary_utility
    if find("nvdisasm") is None:
        refuse(command, "nvdisasm is not installed", COUNTING_EXTRA)


def launching(command: str) -> None:
    """End unless arrays and kernels can be put on a GPU."""
    require(command, LAUNCHING, LAUNCHING_EXTRA)


def require(command: str, packages: Mapping[str, str], extra: str) -> None:
    """End if a package is missing, or the GPU engine cannot be imported."""
    absent = [name for module, name in packages.items() if not _is_there(module)]
    if absent:
        refuse(command, f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed", extra)
    try:
        import_module("gpuconv.cuda")
    except Exception as error:  # of versions that do not go together, of whatever kind
        refuse(command, f"the GPU engine cannot be imported ({error})", extra)


def refuse(command: str, reason: str, extra: str) -> None:
    """Say why on one line, and end."""
    print(f"python -m profiling.{command}: {reason}: pip install -e '.[{extra}]'", file=sys.stderr)
    raise SystemExit(2)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False
