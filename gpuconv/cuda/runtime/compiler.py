"""From a Python function to machine code, GPU or not: the calls of the compiler and the linker.

numba-cuda compiles to PTX, nvJitLink links it for one architecture, and neither needs a driver. Both are
imported when the first kernel is compiled. A machine without them runs kernels that are compiled already
(`cubins.py`); that they are missing is found out once in a process.
"""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from gpuconv.cuda.language import numba_cuda, nvvm, types
from gpuconv.cuda.ptx.assembly import ANSWERS
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


class Lowered(NamedTuple):
    """A kernel in LLVM IR, which is most of the work, for each capability that is answered alike."""

    library: Any  # of numba-cuda's
    answers: dict[tuple[int, int], bool]  # whether the capability is at least this one

    def serves(self, capability: tuple[Any, ...]) -> bool:
        """Whether it would be the same, had it been made for this capability."""
        return all((capability[:2] >= asked) == answer for asked, answer in self.answers.items())


def to_ptx(
    function: Callable[..., None],
    arguments: tuple[Any, ...],
    capability: tuple[Any, ...],
    bounds: tuple[int, int],
    lowered: list[Lowered],
) -> str:
    """A kernel function for arguments of these types of Numba's, as PTX for a capability such as (9, 0, "a").

    Its registers are bounded by the threads of a block and the blocks of a multiprocessor. What was `lowered`
    for other capabilities is taken if it serves this one; else it is lowered, and added.

    Raises
    ------
    NoCompiler
        With what is missing, and the command that installs it.
    """
    if reason := why_there_is_no_compiler():
        raise NoCompiler(f"there is no compiler of CUDA kernels ({reason}): {COMPILER_HINT}")
    found = next((each for each in lowered if each.serves(capability)), None)
    if found is None:
        lowered.append(found := _lower(function, arguments, capability, bounds))
    (text,) = found.library.get_asm_strs(cc=capability)
    return text


def _lower(
    function: Callable[..., None],
    arguments: tuple[Any, ...],
    capability: tuple[Any, ...],
    bounds: tuple[int, int],
) -> Lowered:
    """What `numba.cuda.compile` does before it calls NVVM.

    Numba itself asks whether a capability is at least 6.0, and for tanh 7.5, as all known ones are: so only
    our own questions tell one from another.
    """
    compiler = numba_cuda().compiler

    answers: dict[tuple[int, int], bool] = {}
    token = ANSWERS.set(answers)
    try:
        with compiler.global_compiler_lock, _scopes_shared():
            library, _ = compiler._compile_pyfunc_with_fixup(
                function,
                types.void(*arguments),
                device=False,
                abi="numba",
                cc=capability,
                launch_bounds=bounds,
            )
    finally:
        ANSWERS.reset(token)
    return Lowered(library, answers)


@contextmanager
def _scopes_shared() -> Iterator[None]:
    """Functions are inlined without a copy of their scope for each of their blocks.

    numba-cuda copies the blocks of a function before it inlines it, one by one, and with each all variables
    of the function: of large kernels that was a third of the time. The original is dropped: they may share.
    """
    Scope = numba_cuda().core.ir.Scope
    Scope.__deepcopy__ = lambda scope, memo: scope
    try:
        yield
    finally:
        del Scope.__deepcopy__


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
