"""From a Python function to machine code, GPU or not: the calls of the compiler and the linker.

numba-cuda compiles to PTX, nvJitLink links it for one architecture, and neither needs a driver. Both are
imported when the first kernel is compiled. A machine without them runs kernels that are compiled already
(`cubins.py`); that they are missing is found out once in a process.
"""

import functools
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gpuconv.cuda.language import numba_cuda, nvvm, types
from gpuconv.cuda.runtime.cubins import Cubin
from gpuconv.engines import COMPILER_HINT

COMPILERS = (
    "numba", "numba-cuda", "cuda-core",
    "nvidia-nvvm", "nvidia-nvjitlink",  # of CUDA 13
    "nvidia-cuda-nvcc-cu12", "nvidia-nvjitlink-cu12",
)  # fmt: skip
_EMPTY = b".version 6.4\n.target sm_75\n.address_size 64\n"  # PTX that every linker takes


class NoCompiler(RuntimeError):
    """A kernel has to be compiled, and this machine has no compiler, or it cannot be loaded."""


def to_ptx(
    function: Callable[..., None],
    arguments: tuple[Any, ...],
    capability: tuple[Any, ...],
    bounds: tuple[int, int],
) -> str:
    """A kernel function for arguments of these types of Numba's, as PTX for a capability such as (9, 0, "a").

    Its registers are bounded by the threads of a block and the blocks of a multiprocessor.

    Raises
    ------
    NoCompiler
        With what is missing, and the command that installs it.
    """
    if reason := why_there_is_no_compiler():
        raise NoCompiler(f"there is no compiler of CUDA kernels ({reason}): {COMPILER_HINT}")
    text, _ = numba_cuda().compile(
        function,
        types.void(*arguments),
        device=False,
        abi="numba",
        cc=capability,
        launch_bounds=bounds,
    )
    return text


def to_cubin(ptx: str, arch: str) -> Cubin:
    """PTX of one kernel, linked for the architecture that it is for."""
    code, log = _link(ptx.encode(), arch)
    (entry,) = re.findall(r"\.entry\s+(\w+)", ptx)
    return Cubin(code, entry, log, compilers())


def _link(ptx: bytes, arch: str) -> tuple[bytes, str]:
    from cuda.core import Linker, LinkerOptions, ObjectCode

    linker = Linker(ObjectCode.from_ptx(ptx), options=LinkerOptions(arch=arch, ptxas_options=["-v"]))
    code = linker.link("cubin").code
    return code, linker.get_info_log().rstrip("\0")


@functools.cache
def why_there_is_no_compiler() -> str | None:
    """What is missing to compile a kernel, found out once in a process by trying; None if nothing is."""
    try:
        nvvm()
        _link(_EMPTY, "sm_75")
    except Exception as error:  # each of the libraries is missed in its own way
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


@functools.cache
def compilers() -> str:
    """The packages that turn a kernel into machine code here, with their versions."""
    return " ".join(filter(None, map(_named_version, COMPILERS)))


def _named_version(package: str) -> str:
    try:
        return f"{package}={version(package)}"
    except PackageNotFoundError:
        return ""
