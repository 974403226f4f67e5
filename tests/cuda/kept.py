"""PTX of the engine's kernels, kept in pytest's cache: each is compiled once, until a source changes.

Beside it is kept what they are lowered to on the way: most of the work, and the same for most architectures.
"""

import contextlib
import hashlib
import os
import pickle
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.compiler import Lowered, compilers
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
        ``compile(kernel, arch, lowered)``, the PTX of a kernel that is not there yet; see `Kernel.ptx`.
    """

    def __init__(self, folder: Path, compile: Callable[[Kernel, str, list[Lowered]], str]) -> None:
        self.folder = folder
        self.compile = compile

    def ptx(self, kernel: Kernel, arch: str) -> str:
        """The PTX; who comes while another process compiles the kernel waits for that one."""
        stem = self._stem(kernel)
        path = self.folder / f"{stem}.{arch}.ptx"
        with contextlib.suppress(OSError):
            return path.read_text()
        with _locked(self.folder / f"{stem}.lock"):
            with contextlib.suppress(OSError):
                return path.read_text()
            file = self.folder / f"{stem}.lowered"
            lowered = pickle.loads(zlib.decompress(file.read_bytes())) if file.exists() else []
            before = len(lowered)
            text = self.compile(kernel, arch, lowered)
            if len(lowered) > before:
                _write(file, zlib.compress(pickle.dumps(lowered), 1))
            _write(path, text.encode())
        return text

    def _stem(self, kernel: Kernel) -> str:
        """A name that says all that a kernel is compiled from."""
        parts = (
            kernel.name, kernel.arguments, kernel.threads, kernel.blocks_per_sm,
            compilers(), *sources_of(kernel.function),
        )  # fmt: skip
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
        return f"{kernel.file_stem}-{digest}"

    def prune(self) -> None:
        """Remove what was written first, if there is too much; another process may do the same."""
        with contextlib.suppress(FileNotFoundError):
            files = [(file.stat(), file) for file in self.folder.iterdir()]
            size = 0
            for status, file in sorted(files, key=lambda pair: pair[0].st_mtime, reverse=True):
                size += status.st_size
                if size > MOST_BYTES:
                    file.unlink()


def _write(path: Path, content: bytes) -> None:
    """All of it, or nothing."""
    written = path.with_suffix(f".{os.getpid()}")
    written.write_bytes(content)
    written.replace(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time is inside; a process that dies lets the next one in."""
    if fcntl is None:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
