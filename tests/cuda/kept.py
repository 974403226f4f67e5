"""PTX of the engine's kernels, kept in pytest's cache: each is compiled once, until a source changes."""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.compiler import compilers
from gpuconv.cuda.runtime.sources import sources_of

try:
    import fcntl
except ImportError:  # not a Unix: two processes may then compile the same
    fcntl = None

MOST_BYTES = 256 << 20  # some ten states of the sources


class Kept:
    """A folder of PTX, which several processes read and fill.

    Parameters
    ----------
    compile : callable
        ``compile(kernel, arch)``, the PTX of a kernel that is not there yet.
    """

    def __init__(self, folder: Path, compile: Callable[[Kernel, str], str]) -> None:
        self.folder = folder
        self.compile = compile

    def ptx(self, kernel: Kernel, arch: str) -> str:
        """The PTX; who comes while another process compiles it waits for that one."""
        path = self._path(kernel, arch)
        with contextlib.suppress(OSError):
            return path.read_text()
        with _locked(path.with_suffix(".lock")):
            with contextlib.suppress(OSError):
                return path.read_text()
            text = self.compile(kernel, arch)
            written = path.with_suffix(f".{os.getpid()}")
            written.write_text(text)
            written.replace(path)
        return text

    def _path(self, kernel: Kernel, arch: str) -> Path:
        """A name that says all that a kernel is compiled from."""
        parts = (
            kernel.name, arch, kernel.arguments, kernel.threads, kernel.blocks_per_sm,
            compilers(), *sources_of(kernel.function),
        )  # fmt: skip
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
        name = re.sub(r"\W+", "-", kernel.name)
        return self.folder / f"{name}-{arch}-{digest}.ptx"

    def prune(self) -> None:
        """Remove what was written first, if there is too much; another process may do the same."""
        with contextlib.suppress(FileNotFoundError):
            files = [(file.stat(), file) for file in self.folder.iterdir()]
            size = 0
            for status, file in sorted(files, key=lambda pair: pair[0].st_mtime, reverse=True):
                size += status.st_size
                if size > MOST_BYTES:
                    file.unlink()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time is inside; a process that dies lets the next one in."""
    if fcntl is None:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
