"""`gpuconv compile` for GPUs: every kernel that is not there yet, on all cores, a process for each.

A job is a kernel for all architectures that it is wanted for: most of the work is done once for all of them.
"""

import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from gpuconv.commands.compilation import compile_all
from gpuconv.commands.environment import CommandError, cuda_engine, in_one_line
from gpuconv.engines import ARCHITECTURES, COMPILER_HINT

Job = tuple[int, tuple[str, ...]]  # the place of a kernel in the engine's list, and architectures


def compile_for_gpus(architectures: Sequence[str] | None, name: str) -> None:
    """Compile the kernels with `name` in their name for `architectures`, or for all that are known.

    Raises
    ------
    CommandError
        For an unknown kernel, a missing engine or compiler, a cache that cannot be written,
        and kernels that do not compile.
    """
    print("looking for GPU kernels that are not compiled yet", flush=True)
    engine = cuda_engine(COMPILER_HINT)
    jobs = _chosen(engine, architectures, name)
    folder = _writable_folder()
    left = [(place, _missing(engine.KERNELS[place], architectures)) for place, architectures in jobs]
    count, wanted = (sum(len(architectures) for _, architectures in each) for each in (left, jobs))
    if count < wanted:
        print(f"{wanted - count} of {wanted} are there already", flush=True)
    if count:
        _require_compiler()
        compile_all([job for job in left if job[1]], compile_one, lambda job: _label(engine, job))
    print(f"kept in {folder}")


def refuse_unknown(architectures: Sequence[str]) -> None:
    """Raise CommandError for architectures that the engine, which need not be there, does not know."""
    unknown = [arch for arch in architectures if arch not in ARCHITECTURES]
    if unknown:
        known = ", ".join(ARCHITECTURES)
        raise CommandError(f"unknown architecture {', '.join(unknown)}; known are {known}")


def _chosen(engine: Any, architectures: Sequence[str] | None, name: str) -> list[Job]:
    places = [place for place, kernel in enumerate(engine.KERNELS) if name in kernel.name]
    if not places:
        raise CommandError(f"there is no GPU kernel with {name!r} in its name")
    wanted = dict.fromkeys(architectures or ARCHITECTURES)
    return [(place, tuple(filter(engine.KERNELS[place].runs_on, wanted))) for place in places]


def _missing(kernel: Any, architectures: Sequence[str]) -> tuple[str, ...]:
    return tuple(arch for arch in architectures if kernel.find(arch) is None)


def _label(engine: Any, job: Job) -> str:
    place, architectures = job
    return f"{engine.KERNELS[place].name} {' '.join(architectures)}"


def _writable_folder() -> Any:
    folder = import_module("gpuconv.cuda.runtime.cubins").cache_folder()
    if folder is None:
        raise CommandError("there is no folder for the cache of GPU code (set GPUCONV_CACHE_DIR)")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise CommandError(f"{folder} cannot be written ({error.strerror}): set GPUCONV_CACHE_DIR") from error
    return folder


def _require_compiler() -> None:
    compiler = import_module("gpuconv.cuda.runtime.compiler")
    if reason := compiler.why_there_is_no_compiler():
        raise CommandError(f"there is no compiler of CUDA kernels ({reason}): {COMPILER_HINT}")


def compile_one(job: Job) -> tuple[Job, float, str]:
    """Compile a kernel in this process; CommandError if it cannot be kept."""
    place, architectures = job
    begin, failures = time.perf_counter(), []
    lowered: list[Any] = []  # filled by the first, for the others
    kernel = import_module("gpuconv.cuda").KERNELS[place]
    for arch in architectures:
        try:
            cubin = kernel.build(arch, lowered)
        except Exception as error:
            failures.append(f"{in_one_line(error)} (for {arch})")
        else:
            _keep(kernel, arch, cubin)
    return job, time.perf_counter() - begin, "; ".join(failures)


def _keep(kernel: Any, arch: str, cubin: Any) -> None:
    try:
        import_module("gpuconv.cuda.runtime.cubins").write(kernel.file_name(arch), cubin)
    except OSError as error:
        reason = error.strerror or error
        raise CommandError(
            f"{kernel.name} {arch} could not be kept ({reason}): set GPUCONV_CACHE_DIR"
        ) from error
