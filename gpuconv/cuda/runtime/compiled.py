"""From a Python function to a cubin, on any machine, GPU or not; each cubin is kept on disk.

numba-cuda compiles to PTX, nvJitLink links it for one architecture. The launch is ours (`launch.py`), so
neither needs a driver. A cubin file begins with its SHA-256 and is written beside its name and then renamed:
concurrent writers, a truncated file and a folder that cannot be written cost a compilation and not the call.
A cubin of other compilers is built anew where there is a compiler, and taken where there is none, so that a
cache can be brought to a machine without one.
"""

import ast
import contextlib
import functools
import hashlib
import inspect
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from cuda.core import Linker, LinkerOptions, ObjectCode
from numba import cuda, types

log = logging.getLogger("gpuconv")

if version("numba-cuda").startswith("0.30.") and not hasattr(np, "row_stack"):
    raise ImportError(f"numba-cuda 0.30 needs NumPy below 2.5, not {np.__version__}: pip install 'numpy<2.5'")

# Each is the lowest of its generation, and runs on the later cards of it: sm_80 on sm_86 and sm_89.
ENGINE = Path(__file__).resolve().parents[1]  # the folder of `gpuconv.cuda`
ARCHITECTURES = ("sm_75", "sm_80", "sm_90a", "sm_100", "sm_120")
SCALARS: dict[str, Any] = {"float32": types.float32, "float64": types.float64}  # elements of arrays, by dtype
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
    """A kernel function and its argument types; compiled once per architecture, never for a shape.

    Parameters
    ----------
    name : str
        Unique among all kernels; shown to users.
    function : callable
        Written in Numba CUDA.
    arguments : sequence of numba types
        Pointers and scalars only: each is one kernel parameter.
    threads, blocks_per_sm : int
        Threads of a block, and how many blocks one multiprocessor is to hold; both bound the registers.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., None],
        arguments: Sequence[Any],
        threads: int,
        blocks_per_sm: int,
    ) -> None:
        self.name = name
        self.function = function
        self.arguments = tuple(arguments)
        self.threads = threads
        self.blocks_per_sm = blocks_per_sm
        self._cubins: dict[str, Cubin] = {}
        self._lock = threading.Lock()

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
        parts = (self.name, arch, self.arguments, self.threads, self.blocks_per_sm, *_sources(self.function))
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
def _sources(function: Callable[..., None]) -> tuple[str, ...]:
    """The source files that machine code depends on: the kernel's, what it imports here, the intrinsics'."""
    texts: dict[Path, str] = {}
    work = [Path(inspect.getfile(function)).resolve(), *(ENGINE / "ptx").glob("*.py")]
    while work:
        file = work.pop()
        if file not in texts:
            texts[file] = file.read_text()
            work += _imported(ast.parse(texts[file]))
    return tuple(texts[file] for file in sorted(texts))


def _imported(module: ast.Module) -> Iterator[Path]:
    """The files of this engine that a module imports, wherever it does so, and those of their rooms."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *[f"{node.module}.{alias.name}" for alias in node.names]]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            first, *parts = name.split(".")
            if first == "gpuconv" and parts[:1] == ["cuda"]:
                place = ENGINE.joinpath(*parts[1:])
                yield from filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py"))


@functools.cache
def compilers() -> str:
    """The packages that turn a kernel into machine code here, with their versions."""
    return " ".join(filter(None, map(_named_version, COMPILERS)))


def _named_version(package: str) -> str:
    try:
        return f"{package}={version(package)}"
    except PackageNotFoundError:
        return ""
