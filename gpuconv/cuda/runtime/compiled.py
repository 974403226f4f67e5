"""From a Python function to a cubin, on any machine, GPU or not; each cubin is kept on disk.

numba-cuda compiles to PTX, nvJitLink links it for one architecture. The launch is ours (`launch.py`), so
neither needs a driver. A cubin file begins with its SHA-256 and is written beside its name and then renamed:
concurrent writers, a truncated file and a folder that cannot be written cost a compilation and not the call.
A cubin of other compilers is built anew where there is a compiler, and taken where there is none, so that a
cache can be brought to a machine without one.
"""

import contextlib
import functools
import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from cuda.core import Linker, LinkerOptions, ObjectCode

from gpuconv.cuda.language import cuda, types, uint32
from gpuconv.cuda.runtime.sources import sources_of

log = logging.getLogger("gpuconv")

if version("numba-cuda").startswith("0.30.") and not hasattr(np, "row_stack"):
    raise ImportError(f"numba-cuda 0.30 needs NumPy below 2.5, not {np.__version__}: pip install 'numpy<2.5'")

# Each is the lowest of its generation, and runs on the later cards of it: sm_80 on sm_86 and sm_89.
ARCHITECTURES = ("sm_75", "sm_80", "sm_90a", "sm_100", "sm_120")
COMPILERS = (
    "numba", "numba-cuda", "cuda-core",
    "nvidia-nvvm", "nvidia-nvjitlink",  # of CUDA 13
    "nvidia-cuda-nvcc-cu12", "nvidia-nvjitlink-cu12",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cubin:
    """Machine code for one architecture, the name of its entry, the linker's log, and who made it."""

    code: bytes
    entry: str
    log: str
    compilers: str


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
    ) -> None:
        self.name = name
        self.threads = threads
        self.blocks_per_sm = blocks_per_sm
        self._make, self._types = make, types
        self._cubins: dict[str, Cubin] = {}
        self._lock = threading.Lock()

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

    def ptx(self, arch: str) -> str:
        """The kernel compiled to PTX for an architecture such as "sm_90a"."""
        text, _ = cuda.compile(
            self.function,
            types.void(*self.arguments),
            device=False,
            abi="numba",
            cc=compute_capability(arch),
            launch_bounds=(self.threads, self.blocks_per_sm),
        )
        return text

    def cubin(self, arch: str) -> Cubin:
        """The machine code for an architecture: from memory, from disk, or compiled now."""
        with self._lock:
            if arch not in self._cubins:
                self._cubins[arch] = self._obtain(arch)
            return self._cubins[arch]

    def _obtain(self, arch: str) -> Cubin:
        """The cubin on disk if this machine's compilers made it, else one built now, else the one on disk."""
        stored = self._load(arch)
        if stored is not None and stored.compilers == compilers():
            return stored
        try:
            return self._build(arch)
        except Exception as error:  # each of the compilers misses its libraries in its own way
            if stored is None:
                raise
            log.warning("%s for %s was built by %s: %s", self.name, arch, stored.compilers, error)
            return stored

    def _build(self, arch: str) -> Cubin:
        text = self.ptx(arch)
        linker = Linker(
            ObjectCode.from_ptx(text.encode()), options=LinkerOptions(arch=arch, ptxas_options=["-v"])
        )
        code = linker.link("cubin").code
        (entry,) = re.findall(r"\.entry\s+(\w+)", text)
        cubin = Cubin(code, entry, linker.get_info_log().rstrip("\0"), compilers())
        self._save(arch, cubin)
        return cubin

    def _path(self, arch: str) -> Path | None:
        folder = cache_folder()
        parts = (
            self.name,
            arch,
            self.arguments,
            self.threads,
            self.blocks_per_sm,
            *sources_of(self.function),
        )
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
        file_name = re.sub(r"\W+", "-", self.name)
        return folder and folder / f"{file_name}-{arch}-{digest}.cubin"

    def _load(self, arch: str) -> Cubin | None:
        path = self._path(arch)
        try:
            data = path.read_bytes() if path else b""
        except OSError:
            return None
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            return None
        made_by, entry, text, code = data[32:].split(b"\0", 3)
        return Cubin(code, entry.decode(), text.decode(), made_by.decode())

    def _save(self, arch: str, cubin: Cubin) -> None:
        path = self._path(arch)
        if path is None:
            return
        text = (cubin.compilers, cubin.entry, cubin.log)
        data = b"\0".join([*[part.encode() for part in text], cubin.code])
        temporary = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        try:
            temporary.write_bytes(hashlib.sha256(data).digest() + data)
            temporary.replace(path)
        except OSError as error:
            log.info("the cubin cache %s cannot be written: %s", path.parent, error)
            with contextlib.suppress(OSError):
                temporary.unlink()


def compute_capability(arch: str) -> tuple[Any, ...]:
    """(9, 0, "a") for "sm_90a"; ValueError for anything that is no architecture."""
    match = re.fullmatch(r"sm_(\d+)(\d)([af]?)", arch)
    if match is None:
        raise ValueError(f"arch must be of the form sm_90a; got {arch!r}")
    major, minor, suffix = match.groups()
    return (int(major), int(minor), suffix) if suffix else (int(major), int(minor))


@functools.cache
def cache_folder() -> Path | None:
    """Where cubins are kept: $GPUCONV_CACHE_DIR, else the user's cache folder; None if there is none."""
    variable = "LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME"
    base = Path(os.environ.get(variable) or Path("~/.cache").expanduser())
    folder = Path(os.environ.get("GPUCONV_CACHE_DIR") or base / "gpuconv")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.info("no cubin cache at %s: %s", folder, error)
        return None
    return folder


@functools.cache
def compilers() -> str:
    """The packages that turn a kernel into machine code here, with their versions."""
    return " ".join(filter(None, map(_named_version, COMPILERS)))


def _named_version(package: str) -> str:
    try:
        return f"{package}={version(package)}"
    except PackageNotFoundError:
        return ""
