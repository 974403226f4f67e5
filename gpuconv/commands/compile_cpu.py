"""The CPU kernels that `gpuconv compile --cpu` compiles, and what they are called there."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gpuconv.commands.environment import CommandError
from gpuconv.cpu import KERNELS
from gpuconv.cpu.engine import cache
from gpuconv.cpu.engine.compiled import Kernel

Compilations = Sequence[tuple[str, Callable[[], Any]]]


def compilations(name: str = "") -> Compilations:
    """(label, what compiles it) of each kernel and dtype with `name` in the label or in the kernel's name.

    Raises
    ------
    CommandError
        If there is none, or what is compiled could not be kept.

    Examples
    --------
    >>> [label for label, _ in compilations("pool_direct.mean_rows")]
    ['pool_direct.mean_rows float32', 'pool_direct.mean_rows float64']
    """
    found: list[tuple[str, Callable[[], Any]]] = [
        (f"{label(kernel)} {dtype}", partial(kernel.__getitem__, dtype))
        for kernel in KERNELS
        for dtype in kernel.dtypes
        if name in f"{label(kernel)} {dtype}" or name in f"{kernel.name} {dtype}"
    ]
    if not found:
        raise CommandError(f"there is no CPU kernel with {name!r} in its name")
    if cache.writable_folder() is None:
        reasons = cache.why_nothing_is_writable()
        raise CommandError(f"no folder for CPU code can be written ({reasons}): set GPUCONV_CACHE_DIR")
    return found


def compile_for_cpu(compilations: Compilations) -> None:
    """Compile, and print what and how long it took, as it goes.

    Raises
    ------
    CommandError
        For the first that cannot be kept, as on a full disk.
    """
    for place, (name, compilation) in enumerate(compilations, 1):
        print(f"{name:<50} cpu", end=" ", flush=True)
        begin = time.perf_counter()
        try:
            with cache.must_keep():
                compilation()
        except cache.NotKept as error:
            print(flush=True)
            raise CommandError(f"{name} could not be kept ({error}): set GPUCONV_CACHE_DIR") from error
        print(f"{time.perf_counter() - begin:6.2f} s  {place} of {len(compilations)}", flush=True)
    print(f"kept in {cache.writable_folder()}")


def label(kernel: Kernel) -> str:
    """What the kernel is called in its module, or its name and the numbers that it was made for.

    Kernels may share a function, and with it a name.

    Examples
    --------
    >>> sorted(label(kernel) for kernel in KERNELS if kernel.name == "pool_small.pool_rows")
    ['pool_small.max_rows', 'pool_small.mean_rows']
    """
    room = kernel.name.rpartition(".")[0]
    module = vars(sys.modules[kernel.function.__module__])
    names = [name for name, value in module.items() if value is kernel]
    if names:
        return f"{room}.{names[0]}"
    cells = zip(kernel.function.__code__.co_freevars, kernel.function.__closure__ or (), strict=True)
    return " ".join((kernel.name, *(f"{name}={cell.cell_contents}" for name, cell in cells)))
