"""What the machine offers to the command line: optional packages, and a device to compute on.

A package or device that is missing becomes one line with the command that installs it.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from gpuconv.arrays import GPU_ENGINE_HINT
from gpuconv.precision import program_precision
from gpuconv.threads import get_num_threads

DEMO_HINT = "pip install 'gpuconv[demo]'"
DEMO_PACKAGES = {"matplotlib": "matplotlib", "rich": "rich", "skimage": "scikit-image"}
LEARN_PACKAGES = {"matplotlib": "matplotlib", "rich": "rich", "sklearn": "scikit-learn"}  # demo --learn
ENGINE_PACKAGES = {"cuda.bindings": "cuda-bindings"}  # to import the GPU engine, and to compile with it
GPU_PACKAGES = {"cupy": "CuPy", **ENGINE_PACKAGES}  # to compute


class CommandError(Exception):
    """What the user can mend: shown as one line, exit code 2."""


def missing(packages: dict[str, str]) -> list[str]:
    """The packages, given as {module: name}, that cannot be imported; nothing is imported to find out.

    Examples
    --------
    >>> missing({"math": "the standard library", "no_such_module": "no such package"})
    ['no such package']
    """
    return [name for module, name in packages.items() if not _is_there(module)]


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # of a package that it is to be a part of; or it stands for nothing
        return False


def require(packages: dict[str, str], hint: str) -> None:
    """Raise CommandError with `hint`, a pip command, if one of the packages is missing."""
    absent = missing(packages)
    if absent:
        raise CommandError(f"{' and '.join(absent)} not installed: {hint}")


def in_one_line(error: Exception) -> str:
    """What an error of any kind says, without its line breaks.

    >>> in_one_line(ValueError("two\\nlines"))
    'ValueError: two lines'
    """
    return " ".join(f"{type(error).__name__}: {error}".split())


def cuda_engine(hint: str = GPU_ENGINE_HINT) -> ModuleType:
    """`gpuconv.cuda`, or CommandError with what is wrong and `hint`, a pip command."""
    require(ENGINE_PACKAGES, hint)
    try:
        return import_module("gpuconv.cuda")
    except Exception as error:  # libraries that do not fit each other fail in any way
        what = in_one_line(error)
        raise CommandError(f"the GPU engine cannot be imported ({what}): {hint}") from error


def refuse_wrong_variables() -> None:
    """Raise CommandError, in one line, where a variable that calls go by is wrong."""
    if wrong := wrong_variables():
        raise CommandError("; ".join(wrong))


def wrong_variables() -> list[str]:
    """What is wrong with the variables that calls go by."""
    return [said for said in map(_complaint, (get_num_threads, program_precision, _compiler)) if said]


def _complaint(read: Callable[[], Any]) -> str:
    try:
        read()
    except ValueError as error:
        return str(error)
    return ""


def _compiler() -> None:
    try:
        numba = import_module("numba")
    except ValueError as error:  # of a variable of its own
        raise ValueError(f"Numba cannot be imported: {error}") from error
    if getattr(numba.config, "DISABLE_JIT", 0):
        raise ValueError("NUMBA_DISABLE_JIT is set, and kernels run only when they are compiled")


class Cpu:
    """NumPy arrays and `gpuconv.cpu`; `gpu` is what the engine knows of the device, if it is a GPU."""

    name = "cpu"
    gpu: Any = None

    def __init__(self) -> None:
        self.engine = import_module("gpuconv.cpu")

    def put(self, array: np.ndarray) -> Any:
        """The array on this device."""
        return array

    def get(self, array: Any) -> np.ndarray:
        """An array of this device as a NumPy array."""
        return array

    def wait(self) -> None:
        """Return when all work is done; on the CPU it is when a call returns."""


class Cuda(Cpu):
    """CuPy arrays and `gpuconv.cuda`, on CuPy's current device; CommandError where there is none."""

    name = "cuda"

    def __init__(self) -> None:
        require(GPU_PACKAGES, GPU_ENGINE_HINT)
        self.engine = cuda_engine()
        if not import_module("gpuconv.cuda.runtime.gpu").gpus():
            raise CommandError("no CUDA device: this machine has no NVIDIA GPU, or its driver is not loaded")
        self.cupy = import_module("cupy")
        self.gpu = self.engine.device(self.cupy.cuda.Device().id)

    def put(self, array: np.ndarray) -> Any:
        return self.cupy.asarray(array)

    def get(self, array: Any) -> np.ndarray:
        return self.cupy.asnumpy(array)

    def wait(self) -> None:
        self.cupy.cuda.get_current_stream().synchronize()


DEVICES: dict[str, type[Cpu]] = {"cpu": Cpu, "cuda": Cuda}
