"""The engines, imported when they are first asked for: `gpuconv.cpu` and `gpuconv.cuda`.

Modules of this package are imported by statements, here and wherever it is done late: what freezes a program
finds a module by the statement that imports it.
"""

import sys
from types import ModuleType

from gpuconv.arrays import GPU_ENGINE_HINT


def engine_of(device: int | None) -> ModuleType:
    """The engine for arrays on a CUDA device, or on the CPU where that is None.

    Raises
    ------
    ImportError
        If it is not installed, with the command that installs it.
    """
    if device is None:
        import gpuconv.cpu

        return sys.modules["gpuconv.cpu"]
    try:
        import gpuconv.cuda  # noqa: F401

        return sys.modules["gpuconv.cuda"]
    except ImportError as error:
        raise ImportError(
            f"input is on a GPU, and the GPU engine cannot be loaded ({error}): {GPU_ENGINE_HINT}"
        ) from error
