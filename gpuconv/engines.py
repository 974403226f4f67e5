"""The engines, imported when they are first asked for: `gpuconv.cpu` and `gpuconv.cuda`.

What a user may want to know of the GPU engine where it cannot be imported stands here, too.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from gpuconv.arrays import GPU_ENGINE_HINT

# Each is the lowest of its generation, and runs on the later cards of it: sm_80 on sm_86 and sm_89.
ARCHITECTURES = ("sm_75", "sm_80", "sm_90a", "sm_100", "sm_120")
COMPILER_HINT = "pip install 'gpuconv[compile13]' (or [compile12], after the CUDA version of your driver)"

if TYPE_CHECKING:  # what freezes a program finds modules by statements, wherever they stand
    import gpuconv.cpu
    import gpuconv.cuda  # noqa: F401


def engine_of(device: int | None) -> ModuleType:
    """The engine for arrays on a CUDA device, or on the CPU where that is None.

    Raises
    ------
    ImportError
        If it is not installed, with the command that installs it.
    """
    if device is None:
        return import_module("gpuconv.cpu")
    try:
        return import_module("gpuconv.cuda")
    except Exception as error:  # libraries that do not fit each other fail in any way
        raise ImportError(
            f"input is on a GPU, and the GPU engine cannot be loaded ({type(error).__name__}: {error}): "
            f"{GPU_ENGINE_HINT}"
        ) from error
