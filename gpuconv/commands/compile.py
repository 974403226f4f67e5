"""`gpuconv compile`: fill the caches ahead of the first call, for GPUs also on a machine that has none."""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from gpuconv.commands.compile_cpu import compilations
from gpuconv.commands.environment import CommandError, cuda_engine
from gpuconv.cpu.engine.cache import writable_folder


def compile_ahead(architectures: Sequence[str] | None = None, cpu: bool = False, kernel: str = "") -> int:
    """Compile the GPU kernels for `architectures`, the CPU kernels, or both; returns exit code 0.

    Parameters
    ----------
    architectures : sequence of str, optional
        Such as "sm_90a"; all that are known unless given, but none if `cpu` is given alone.
    cpu : bool
        Compile the CPU kernels, for float32 and float64.
    kernel : str
        Only kernels with this in their name.

    Raises
    ------
    CommandError
        For an unknown architecture or kernel, a missing GPU engine, or a cache that cannot be written.
    """
    for_cpu = compilations(kernel) if cpu else []
    if architectures is not None or not cpu:
        _compile_for_gpus(architectures, kernel)
    for label, compilation in for_cpu:
        _timed(label, "cpu", compilation)
    if cpu:
        print(f"kept in {writable_folder()}")
    return 0


def _compile_for_gpus(architectures: Sequence[str] | None, name: str) -> None:
    engine = cuda_engine()
    known = engine.ARCHITECTURES
    unknown = [arch for arch in architectures or () if arch not in known]
    if unknown:
        raise CommandError(f"unknown architecture {', '.join(unknown)}; known are {', '.join(known)}")
    kernels = [kernel for kernel in engine.KERNELS if name in kernel.name]
    if not kernels:
        raise CommandError(f"there is no GPU kernel with {name!r} in its name")
    folder = import_module("gpuconv.cuda.runtime.compiled").cache_folder()
    if folder is None:
        raise CommandError("there is no folder for the cache of GPU code (set GPUCONV_CACHE_DIR)")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise CommandError(f"{folder} cannot be written ({error.strerror}): set GPUCONV_CACHE_DIR") from error
    for kernel in kernels:
        for arch in dict.fromkeys(architectures or known):
            _timed(kernel.name, arch, partial(kernel.cubin, arch))
    print(f"kept in {folder}")


def _timed(name: str, target: str, compilation: Callable[[], Any]) -> None:
    print(f"{name:<40} {target:<8}", end=" ", flush=True)
    begin = time.perf_counter()
    compilation()
    print(f"{time.perf_counter() - begin:6.2f} s", flush=True)
