"""`gpuconv info`: what is installed, what the machine offers, where things are kept, and what is missing.

Works with nothing but the base installation. Versions are read from the packages' metadata; of the libraries
for GPUs only gpuconv's own engine is imported, if it is there, for its devices and its cache.
"""

import contextlib
import platform
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gpuconv
from gpuconv.arrays import GPU_ENGINE_HINT
from gpuconv.commands.environment import (
    DEMO_HINT,
    DEMO_PACKAGES,
    ENGINE_PACKAGES,
    GPU_PACKAGES,
    LEARN_PACKAGES,
    CommandError,
    cuda_engine,
    missing,
    wrong_variables,
)

# Name shown: the distributions that provide it.
PACKAGES = {
    "NumPy": ("numpy",),
    "Numba": ("numba",),
    "numba-cuda": ("numba-cuda",),
    "cuda-bindings": ("cuda-bindings",),
    "CuPy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "PyTorch": ("torch",),
}
VECTOR_BITS = {"avx512f": 512, "avx2": 256, "avx": 256, "neon": 128, "sse2": 128}
FEATURES = (*VECTOR_BITS, "fma", "avx512bf16", "amx-bf16", "sve")


def info() -> int:
    """Print the report; returns exit code 0, 1 if the GPU engine cannot be used, or 2 if a variable is wrong.

    A machine without GPU libraries is in order; one whose libraries do not fit each other is not.
    """
    engine, failure = _engine()
    wrong = [("wrong", complaint) for complaint in wrong_variables()]
    gpu = _gpu(engine) if engine else _no_gpu(failure)
    rows = [*_versions(), *_processor(), *gpu, *_missing(), *wrong]
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"{label:<{width}}  {text}")
    return 2 if wrong else int(engine is None and not missing(GPU_PACKAGES))


def _versions() -> Iterator[tuple[str, str]]:
    yield "gpuconv", f"{gpuconv.__version__}, {Path(gpuconv.__file__).parent}"
    yield "Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    for name, distributions in PACKAGES.items():
        found = [text for text in map(_version, distributions) if text]
        yield name, ", ".join(found) or "not installed"


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _processor() -> Iterator[tuple[str, str]]:
    yield "processor", _features()
    with contextlib.suppress(ValueError):  # of a wrong variable, which is shown among those
        yield "threads", _threads()
    with contextlib.suppress(ValueError):
        yield "CPU cache", _cpu_cache()


def _threads() -> str:
    return (
        f"own pool, {gpuconv.get_num_threads()} threads (GPUCONV_NUM_THREADS or set_num_threads changes it); "
        "Numba's omp, tbb and workqueue layers are not used"
    )


def _features() -> str:
    llvm = import_module("llvmlite.binding")
    try:
        features = {name for name, present in llvm.get_host_cpu_features().items() if present}
    except RuntimeError:  # LLVM cannot tell on this platform; Numba compiles for the baseline then
        features = set()
    shown = ", ".join(name for name in FEATURES if name in features) or "no vector features known"
    bits = max((bits for name, bits in VECTOR_BITS.items() if name in features), default=0)
    vectors = f"; vectors of {bits} bits, {bits // 32} float32" if bits else ""
    return f"{llvm.get_host_cpu_name()}: {shown}{vectors}"


def _cpu_cache() -> str:
    folder = import_module("gpuconv.cpu.engine.cache").writable_folder()
    nowhere = (
        "none that can be written: each process compiles anew (set NUMBA_CACHE_DIR or GPUCONV_CACHE_DIR)"
    )
    return str(folder or nowhere)


def _engine() -> tuple[Any, str]:
    """The GPU engine, or None and what is wrong with it; what it lacks has a line of its own."""
    if missing(ENGINE_PACKAGES):
        return None, ""
    try:
        return cuda_engine(), ""
    except CommandError as error:
        return None, str(error)


def _no_gpu(failure: str) -> Iterator[tuple[str, str]]:
    yield "devices", "cpu"
    if failure:
        yield "GPU engine", failure


def _gpu(engine: Any) -> Iterator[tuple[str, str]]:
    gpus = import_module("gpuconv.cuda.runtime.gpu").gpus()
    names = [f"cuda:{ordinal} {gpu.name} ({gpu.arch})" for ordinal, gpu in enumerate(gpus)]
    yield "devices", "; ".join(["cpu", *names] if names else ["cpu", "no CUDA device or driver"])
    cubins = import_module("gpuconv.cuda.runtime.cubins")
    came = [arch for arch in engine.ARCHITECTURES if cubins.packaged(arch)]
    yield "GPU code", f"for {', '.join(engine.ARCHITECTURES)}; came compiled for {', '.join(came) or 'none'}"
    folder = cubins.cache_folder()
    yield "GPU cache", str(folder or "none: no folder can be written")


def _missing() -> Iterator[tuple[str, str]]:
    absent = False
    for purpose, packages, hint in (
        ("computing on a GPU", GPU_PACKAGES, GPU_ENGINE_HINT),
        ("gpuconv demo", {**DEMO_PACKAGES, **LEARN_PACKAGES}, DEMO_HINT),
    ):
        names = missing(packages)
        if names:
            absent = True
            yield "missing", f"{', '.join(names)} for {purpose}: {hint}"
    if not absent:
        yield "missing", "nothing"
