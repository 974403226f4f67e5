"""The least that has to work on a GPU before anything else is tried: one device, one cubin, one launch.

    python -m profiling.device.smoke

Each step prints a line when it is done, so that the last line says how far it came. Exit code 1 if a step
failed, or if the result is wrong.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import gpuconv
from gpuconv.commands.covering import call_of, kernels
from gpuconv.commands.environment import Cuda
from gpuconv.commands.problems import arrays, conv
from gpuconv.commands.reference import convolve
from gpuconv.commands.verify import compare
from gpuconv.spec.dtypes import FLOAT32

PROBLEM = conv((2, 3, 7, 9), (4, 3, 3, 3), padding=1, bias=True)
PACKAGES = (
    "numpy", "numba", "numba-cuda", "cuda-bindings", "cuda-core", "cupy-cuda12x", "cupy-cuda13x", "torch",
)  # fmt: skip
ALGORITHM = "conv_tiled"  # one kernel, for every architecture


def steps(open_device: Callable[[], Any]) -> Iterator[str]:
    """What each step has found; a step that fails raises."""
    yield f"versions: Python {platform.python_version()}, " + ", ".join(filter(None, map(_version, PACKAGES)))
    device = open_device()
    yield f"device: {device.gpu.name}, {device.gpu.arch}, {device.gpu.multiprocessors} multiprocessors"
    (algorithm,) = (each for each in device.engine.ALGORITHMS["conv"] if each.name == ALGORITHM)
    (name,) = kernels(algorithm, call_of(PROBLEM, FLOAT32), device.gpu)
    (kernel,) = (each for each in device.engine.KERNELS if each.name == name)
    yield f"cubin: {name}, {len(kernel.cubin(device.gpu.arch).code)} bytes"
    x, (w, bias) = arrays(PROBLEM, FLOAT32)
    on_device = [device.put(array) for array in (x, w, bias)]
    y = gpuconv.conv2d(*on_device, **PROBLEM.parameters, algorithm=ALGORITHM)
    device.wait()
    yield f"launch: {PROBLEM}"
    wrong = compare(device.get(y), *convolve(x, w, bias, **PROBLEM.parameters))
    if wrong:
        raise ArithmeticError(wrong)
    yield "result: right"


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def main(arguments: Sequence[str] | None = None, open_device: Callable[[], Any] = Cuda) -> int:
    """Print a line for each step; returns exit code 0, or 1 if one failed."""
    parser = argparse.ArgumentParser("python -m profiling.device.smoke", description=__doc__.splitlines()[0])
    parser.parse_args(arguments)
    begun = time.perf_counter()
    try:
        for line in steps(open_device):
            print(f"{time.perf_counter() - begun:6.1f} s  {line}", flush=True)
    except Exception as error:  # of a missing package, library or driver: each is the finding
        print(f"{time.perf_counter() - begun:6.1f} s  FAILED  {type(error).__name__}: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
