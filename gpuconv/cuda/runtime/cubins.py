"""Machine code that is there already: what came with the package, and what is kept in a folder.

Release wheels carry the kernels compiled, an archive `cubins/sm_90a.zip` for each architecture; the folder
`$GPUCONV_CACHE_DIR` holds what was compiled on this machine, or was brought to it. A file is named after its
kernel, the architecture and the sources that it was compiled from, whichever compilers did it: a file of that
name is taken, and never written again. It begins with its SHA-256, and is written beside its name and then
renamed: concurrent writers, a truncated file and a folder that cannot be written cost a compilation alone.
"""

import contextlib
import functools
import hashlib
import io
import logging
import os
import threading
import zipfile
import zlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from gpuconv.folders import named_folder, users_cache

log = logging.getLogger("gpuconv")

ARCHIVES = "cubins"  # the folder of the archives, beside the rooms of this engine


@dataclass(frozen=True, slots=True)
class Cubin:
    """Machine code for one architecture, the name of its entry, the linker's log, and who made it."""

    code: bytes
    entry: str
    log: str
    compilers: str

    def to_bytes(self) -> bytes:
        """The content of a file."""
        text = (self.compilers, self.entry, self.log)
        data = b"\0".join([*[part.encode() for part in text], self.code])
        return hashlib.sha256(data).digest() + data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Cubin | None":
        """What a file holds, or None if it is not whole."""
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            return None
        made_by, entry, text, code = data[32:].split(b"\0", 3)
        return cls(code, entry.decode(), text.decode(), made_by.decode())


def find(name: str, arch: str) -> Cubin | None:
    """The cubin whose file has this name: from the folder, or else from the package."""
    data = _packaged(arch).get(name)
    return _in_folder(name) or (Cubin.from_bytes(data) if data else None)


def _in_folder(name: str) -> Cubin | None:
    folder = cache_folder()
    with contextlib.suppress(OSError):
        return Cubin.from_bytes((folder / name).read_bytes()) if folder else None
    return None


def keep(name: str, cubin: Cubin) -> None:
    """Write a cubin into the folder, if it can be written."""
    try:
        write(name, cubin)
    except OSError as error:
        _say_once(f"compiled GPU code cannot be kept in {cache_folder()} ({error.strerror or error})")


def write(name: str, cubin: Cubin) -> None:
    """Write a cubin into the folder, unless there is a whole one of that name; OSError if it cannot be."""
    folder = cache_folder()
    if folder is None:
        raise FileNotFoundError("there is no folder for compiled GPU code")
    if _in_folder(name) is not None:
        return
    path = folder / name
    temporary = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_bytes(cubin.to_bytes())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if _in_folder(name) is None:  # else another process was faster, and has it open
            raise


@functools.cache
def _say_once(what: str) -> None:
    log.warning("%s, so each process compiles GPU kernels anew: set GPUCONV_CACHE_DIR", what)


class Archive:
    """The cubins of one architecture, compressed, by the names of their files."""

    def __init__(self, data: bytes) -> None:
        self._lock = threading.Lock()  # a ZipFile has one position for all threads
        self._zip = zipfile.ZipFile(io.BytesIO(data)) if data else None
        self.names = frozenset(self._zip.namelist() if self._zip else ())

    def get(self, name: str) -> bytes | None:
        if self._zip is None or name not in self.names:
            return None
        try:
            with self._lock:
                return self._zip.read(name)
        except (zipfile.BadZipFile, zlib.error):  # it is damaged
            return None


@functools.cache
def _packaged(arch: str) -> Archive:
    """What came with the package for an architecture: nothing in a checkout."""
    try:
        return Archive((files("gpuconv.cuda") / ARCHIVES / f"{arch}.zip").read_bytes())
    except (OSError, zipfile.BadZipFile) as error:
        log.info("no prebuilt cubins for %s: %s", arch, error)
        return Archive(b"")


def packaged(arch: str) -> frozenset[str]:
    """The names of the files that came with the package for an architecture."""
    return _packaged(arch).names


def write_archive(path: Path, cubins: dict[str, bytes]) -> None:
    """An archive of files by their names, the same for the same files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(cubins):
            archive.writestr(zipfile.ZipInfo(name), cubins[name], zipfile.ZIP_DEFLATED, 9)


@functools.cache
def cache_folder() -> Path | None:
    """Where cubins are kept: $GPUCONV_CACHE_DIR, else the user's cache folder; None if there is none.

    A folder that cannot be made, or written to, is read all the same if it is there.
    """
    base = users_cache()
    name = os.environ.get("GPUCONV_CACHE_DIR")
    folder = named_folder(name) if name else base and base / "gpuconv"
    if folder is None:
        log.info(
            "no folder for compiled GPU code: the user has no home, or the one named is relative to none"
        )
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.info("no folder for compiled GPU code: %s", error)
        return None
    return folder
