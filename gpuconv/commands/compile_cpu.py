"""`gpuconv compile --cpu`: the CPU kernels, what they are called, each compiled on the next free core."""

import sys
import time
from collections.abc import Sequence

from gpuconv.commands.compilation import compile_all
from gpuconv.commands.environment import CommandError
from gpuconv.cpu import KERNELS
from gpuconv.cpu.engine import cache
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.spec.dtypes import Dtype

Job = tuple[int, Dtype]  # the place of a kernel among all, and what it is compiled for


def jobs_of(name: str = "") -> list[Job]:
    """Each kernel and dtype with `name` in the label of both, or in the kernel's name.

    Raises
    ------
    CommandError
        If there is none, or what is compiled could not be kept.

    Examples
    --------
    >>> [label_of(job) for job in jobs_of("pool_direct.mean_rows")]
    ['pool_direct.mean_rows float32', 'pool_direct.mean_rows float64']
    """
    jobs = [(place, dtype) for place, kernel in enumerate(KERNELS) for dtype in kernel.dtypes]
    found = [job for job in jobs if name in label_of(job) or name in f"{KERNELS[job[0]].name} {job[1]}"]
    if not found:
        raise CommandError(f"there is no CPU kernel with {name!r} in its name")
    if cache.writable_folder() is None:
        reasons = cache.why_nothing_is_writable()
        raise CommandError(f"no folder for CPU code can be written ({reasons}): set GPUCONV_CACHE_DIR")
    return found


def compile_for_cpu(jobs: Sequence[Job]) -> None:
    """Compile, and print what and how long it took, as it goes.

    Raises
    ------
    CommandError
        For the first that cannot be kept, as on a full disk.
    """
    compile_all(jobs, compile_one, label_of)
    print(f"kept in {cache.writable_folder()}")


def compile_one(job: Job) -> tuple[Job, float, str]:
    """Compile a kernel in this process; CommandError if it cannot be kept."""
    place, dtype = job
    begin = time.perf_counter()
    try:
        with cache.must_keep():
            KERNELS[place][dtype]
    except cache.NotKept as error:
        raise CommandError(f"{label_of(job)} could not be kept ({error}): set GPUCONV_CACHE_DIR") from error
    return job, time.perf_counter() - begin, ""


def label_of(job: Job) -> str:
    """What a kernel is called, and the dtype."""
    return f"{label(KERNELS[job[0]])} {job[1]}"


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
