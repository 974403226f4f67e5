"""`gpuconv info`: what is installed, what the machine offers, where things are kept, and what is missing.

Works with nothing but the base installation. Versions are read from the packages' metadata; of the libraries
for GPUs only gpuconv's own engine is imported, if it is there, for its devices and its cache.
"""

import platform
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import gpuconv
from gpuconv.arrays import GPU_ENGINE_HINT
from gpuconv.commands.environment import (
    DEMO_HINT,
    DEMO_PACKAGES,
    GPU_PACKAGES,
    CommandError,
    cuda_engine,
    missing,
)

# Name shown: the distributions that provide it.
PACKAGES = {
    "NumPy": ("numpy",),
    "Numba": ("numba",),
    "numba-cuda": ("numba-cuda",),
    "CuPy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "PyTorch": ("torch",),
}
VECTOR_BITS = {"avx512f": 512, "avx2": 256, "avx": 256, "neon": 128, "sse2": 128}
FEATURES = (*VECTOR_BITS, "fma", "avx512bf16", "amx-bf16", "sve")


def info() -> int:
    """Print the report; returns exit code 0."""
    rows = [*_versions(), *_processor(), *_gpu(), *_missing()]
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"{label:<{width}}  {text}")
    return 0


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
    yield (
        "threads",
        f"own pool, {gpuconv.get_num_threads()} threads (GPUCONV_NUM_THREADS or set_num_threads changes it); "
        "Numba's omp, tbb and workqueue layers are not used",
    )
    yield "CPU cache", _cpu_cache()


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


def _gpu() -> Iterator[tuple[str, str]]:
    try:
        engine = cuda_engine()
    except CommandError:
        yield "devices", "cpu; the GPU engine is not installed"
        return
    gpus = import_module("gpuconv.cuda.runtime.gpu").gpus()
    names = [f"cuda:{ordinal} {gpu.name} ({gpu.arch})" for ordinal, gpu in enumerate(gpus)]
    yield "devices", "; ".join(["cpu", *names] if names else ["cpu", "no CUDA device or driver"])
    yield "GPU code", "for " + ", ".join(engine.ARCHITECTURES)
    folder = import_module("gpuconv.cuda.runtime.compiled").cache_folder()
    yield "GPU cache", str(folder or "none: no folder can be written")


def _missing() -> Iterator[tuple[str, str]]:
    absent = False
    for purpose, packages, hint in (
        ("computing on a GPU", GPU_PACKAGES, GPU_ENGINE_HINT),
        ("gpuconv demo", DEMO_PACKAGES, DEMO_HINT),
    ):
        names = missing(packages)
        if names:
            absent = True
            yield "missing", f"{', '.join(names)} for {purpose}: {hint}"
    if not absent:
        yield "missing", "nothing"
