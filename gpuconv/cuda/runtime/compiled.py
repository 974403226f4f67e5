"""Kernels: a function, the types of its parameters, and its machine code for an architecture.

Machine code is taken from where it is (`cubins.py`), and compiled only if it is nowhere (`compiler.py`): with
kernels that came compiled, no compiler is loaded. The launch is ours (`launch.py`).
"""

import functools
import hashlib
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from gpuconv.cuda.language import types, uint32
from gpuconv.cuda.runtime import cubins
from gpuconv.cuda.runtime.compiler import Lowered, NoCompiler, compilers, to_cubin, to_ptx
from gpuconv.cuda.runtime.cubins import Cubin
from gpuconv.cuda.runtime.sources import sources_of


class Kernel:
    """A kernel function and the types of its parameters; compiled once per architecture, never for a shape.

    Parameters
    ----------
    name : str
        Unique among all kernels; shown to users.
    make : callable
        `make()` is the function, written in Numba CUDA. It is called when the kernel is first asked for.
    types : mapping
        The names of the parameters of each of Numba's types, with spaces between them: pointers, and scalars
        that are no uint32, which is what all others are. Pointers come first in the signature.
    threads, blocks_per_sm : int
        Threads of a block, and how many blocks one multiprocessor is to hold; both bound the registers.
    oldest : tuple of int or None
        The first compute capability that has its instructions; None if all have.

    Examples
    --------
    >>> def scale(step, factor): ...
    >>> kernel = Kernel("scale", lambda: scale, {types.int64: "step"}, 32, 1)
    >>> kernel.bind({"factor": 3, "step": 100})
    (100, 3)
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Callable[..., None]],
        types: Mapping[Any, str],
        threads: int,
        blocks_per_sm: int,
        oldest: tuple[int, int] | None = None,
    ) -> None:
        self.name = name
        self.threads = threads
        self.blocks_per_sm = blocks_per_sm
        self._make, self._types, self._oldest = make, types, oldest
        self._cubins: dict[str, Cubin] = {}
        self._lock = threading.Lock()

    def runs_on(self, arch: str) -> bool:
        """Whether an architecture has its instructions."""
        return self._oldest is None or compute_capability(arch)[:2] >= self._oldest

    @functools.cached_property
    def function(self) -> Callable[..., None]:
        """The function, made when it is first asked for."""
        return self._make()

    @functools.cached_property
    def parameters(self) -> dict[str, Any]:
        """Numba's type of each parameter, in the order of the signature."""
        code = self.function.__code__
        names = code.co_varnames[: code.co_argcount]
        given = {name: kind for kind, named in self._types.items() for name in named.split()}
        if not given.keys() <= set(names):
            raise TypeError(f"{self.name} has no parameter {', '.join(sorted(given.keys() - set(names)))}")
        return {name: given.get(name, uint32) for name in names}

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The types of the parameters."""
        return tuple(self.parameters.values())

    @functools.cached_property
    def pointers(self) -> tuple[str, ...]:
        """The names of the pointers, which are the first parameters."""
        return tuple(name for name, kind in self.parameters.items() if isinstance(kind, types.CPointer))

    def bind(self, scalars: Mapping[str, int]) -> tuple[int, ...]:
        """The values of the parameters after the pointers, in the order of the signature.

        Raises
        ------
        TypeError
            If one has no value, or a value no parameter: the message names them.
        """
        names = tuple(self.parameters)[len(self.pointers) :]
        if scalars.keys() != set(names):
            missing, unknown = sorted(set(names) - scalars.keys()), sorted(scalars.keys() - set(names))
            raise TypeError(f"{self.name} lacks {missing} and does not know {unknown}")
        return tuple(scalars[name] for name in names)

    def ptx(self, arch: str, lowered: list[Lowered] | None = None) -> str:
        """The kernel compiled to PTX for an architecture such as "sm_90a".

        What was `lowered` for other architectures is used where it is the same, and added to where it is not.
        """
        bounds, lowered = (self.threads, self.blocks_per_sm), [] if lowered is None else lowered
        return to_ptx(self.function, self.arguments, compute_capability(arch), bounds, lowered)

    def cubin(self, arch: str) -> Cubin:
        """The machine code for an architecture: in memory, in the package or on disk, or built now.

        Raises
        ------
        NoCompiler
            If it is nowhere, and cannot be built.
        """
        with self._lock:
            if arch not in self._cubins:
                try:
                    self._cubins[arch] = self.find(arch) or self._build(arch)
                except NoCompiler as error:
                    raise NoCompiler(f"{self.name} did not come compiled for {arch}, and {error}") from None
            return self._cubins[arch]

    def measured(self, arch: str) -> Cubin:
        """The machine code that the compilers here make of it, for whoever counts registers and so on."""
        found = self.cubin(arch)
        return found if found.compilers == compilers() else self.build(arch)

    def find(self, arch: str) -> Cubin | None:
        """The machine code for an architecture if it is in the package or on disk."""
        if sources_of(self.function):
            return cubins.find(self.file_name(arch), arch)
        beginning = f"{self.file_stem}-{arch}-"  # without sources what came with the package is right
        (name, *_) = [each for each in cubins.packaged(arch) if each.startswith(beginning)] or [beginning]
        return cubins.find(name, arch)

    def rebuilt(self, arch: str, refused: Cubin) -> Cubin | None:
        """The machine code built by the compilers here, in the place of one that the driver does not load.

        None if it was they who built that one.
        """
        with self._lock:
            if self._cubins[arch] is refused:
                if refused.compilers == compilers():
                    return None
                self._cubins[arch] = self._build(arch)
            return self._cubins[arch]

    def build(self, arch: str, lowered: list[Lowered] | None = None) -> Cubin:
        """The machine code for an architecture, built now, and not kept; `lowered` as in `ptx`."""
        return to_cubin(self.ptx(arch, lowered), arch)

    def _build(self, arch: str) -> Cubin:
        cubin = self.build(arch)
        cubins.keep(self.file_name(arch), cubin)
        return cubin

    def file_name(self, arch: str) -> str:
        """The name of the file of its machine code: another one for other sources, and for nothing else."""
        parts = (
            self.name,
            arch,
            tuple(map(str, self.arguments)),
            self.threads,
            self.blocks_per_sm,
            *sources_of(self.function),
        )
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
        return f"{self.file_stem}-{arch}-{digest}.cubin"

    @property
    def file_stem(self) -> str:
        """Its name as a file's begins."""
        return re.sub(r"\W+", "-", self.name)


def compute_capability(arch: str) -> tuple[Any, ...]:
    """(9, 0, "a") for "sm_90a"; ValueError for anything that is no architecture."""
    match = re.fullmatch(r"sm_(\d+)(\d)([af]?)", arch)
    if match is None:
        raise ValueError(f"arch must be of the form sm_90a; got {arch!r}")
    major, minor, suffix = match.groups()
    return (int(major), int(minor), suffix) if suffix else (int(major), int(minor))
