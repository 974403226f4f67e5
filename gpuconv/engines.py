"""The engines, imported when they are first asked for: `gpuconv.cpu` and `gpuconv.cuda`."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from gpuconv.arrays import GPU_ENGINE_HINT

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
    except ImportError as error:
        raise ImportError(
            f"input is on a GPU, and the GPU engine cannot be loaded ({error}): {GPU_ENGINE_HINT}"
        ) from error
