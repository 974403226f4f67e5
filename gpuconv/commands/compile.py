"""`gpuconv compile`: fill the caches ahead of the first call, for GPUs also on a machine that has none."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from gpuconv.commands.compile_gpu import compile_for_gpus
from gpuconv.spec.dtypes import FLOATS


def compile_ahead(architectures: Sequence[str] | None = None, cpu: bool = False, kernel: str = "") -> int:
    """Compile the GPU kernels for `architectures`, the CPU kernels, or both; returns exit code 0.

    Parameters
    ----------
    architectures : sequence of str, optional
        Such as "sm_90a"; all that are known unless given, but none if `cpu` is given alone.
    cpu : bool
        Compile the CPU kernels, for float32 and float64.
    kernel : str
        Of the GPU kernels only those with this in their name.

    Raises
    ------
    CommandError
        For an unknown architecture or kernel, a missing GPU engine, or a cache that cannot be written.
    """
    if architectures is not None or not cpu:
        compile_for_gpus(architectures, kernel)
    if cpu:
        for each in import_module("gpuconv.cpu").KERNELS:
            for dtype in FLOATS:
                _timed(f"{each.name} {dtype}", "cpu", partial(each.__getitem__, dtype))
    return 0


def _timed(name: str, target: str, compilation: Callable[[], Any]) -> None:
    print(f"{name:<40} {target:<8}", end=" ", flush=True)
    begin = time.perf_counter()
    compilation()
    print(f"{time.perf_counter() - begin:6.2f} s", flush=True)
