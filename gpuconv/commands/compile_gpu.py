"""`gpuconv compile` for GPUs: every kernel that is not there yet, on all cores, a process for each."""

import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from gpuconv.commands.compilation import compile_all
from gpuconv.commands.environment import CommandError, cuda_engine, in_one_line
from gpuconv.engines import ARCHITECTURES, COMPILER_HINT

Job = tuple[int, str]  # the place of a kernel in the engine's list, and an architecture


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
    left = [(place, arch) for place, arch in jobs if engine.KERNELS[place].find(arch) is None]
    if len(left) < len(jobs):
        print(f"{len(jobs) - len(left)} of {len(jobs)} are there already", flush=True)
    if left:
        _require_compiler()
        compile_all(left, compile_one, lambda job: f"{engine.KERNELS[job[0]].name} {job[1]}")
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
    return [(place, arch) for place in places for arch in dict.fromkeys(architectures or ARCHITECTURES)]


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
    place, arch = job
    begin, failure = time.perf_counter(), ""
    try:
        kernel = import_module("gpuconv.cuda").KERNELS[place]
        cubin = kernel.build(arch)
    except Exception as error:
        failure = in_one_line(error)
    else:
        _keep(kernel, arch, cubin)
    return job, time.perf_counter() - begin, failure


def _keep(kernel: Any, arch: str, cubin: Any) -> None:
    try:
        import_module("gpuconv.cuda.runtime.cubins").write(kernel.file_name(arch), cubin)
    except OSError as error:
        reason = error.strerror or error
        raise CommandError(
            f"{kernel.name} {arch} could not be kept ({reason}): set GPUCONV_CACHE_DIR"
        ) from error
