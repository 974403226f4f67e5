"""Compiled kernels, kept on disk: each by itself, for one signature, one processor and one set of sources.

Numba keeps one index for all types of a function. Two processes that write it at once leave an index that
promises one type, or one processor, over the code of another; and it looks at a function's own file alone, so
after an edit of what a kernel inlines it serves the old code. Here a file's name is the hash of all that code
can depend on, and the file says it again in full, so there is nothing that two processes could mix up.

    $NUMBA_CACHE_DIR/gpuconv        the first folder that can be written is the cache. Those before it
    $GPUCONV_CACHE_DIR/cpu          are read: an image whose files can be read but not written
    gpuconv/cpu/__pycache__         brings its code along
    the user's cache/gpuconv/cpu
    beside the program, if frozen

A frozen program has no `__pycache__` of the package: its modules lie in an archive, unpacked for one run.
"""

import contextlib
import functools
import hashlib
import logging
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config
from numba.core.caching import IndexDataCacheFile, NullCache
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from gpuconv.cpu import simd
from gpuconv.cpu.engine import sources
from gpuconv.folders import named_folder, users_cache

log = logging.getLogger("gpuconv")

# The settings of Numba that change what it makes of a kernel.
SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "USING_SVML")


class NotKept(Exception):
    """Compiled code could not be kept where it must be (`must_keep`); says why."""


class KernelCache(NullCache):
    """What Numba's dispatcher asks for compiled code, and gives it to: a cache that survives damage.

    A damaged or unwritable file costs a compilation and not the call.
    """

    def __init__(self, name: str, function: Callable[..., None]) -> None:
        self.name = name
        self.function = function

    @property
    def cache_path(self) -> str:
        """Where code is written, or nothing."""
        return str(writable_folder() or "")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The code for the signature from the first folder that has it, or None."""
        rtsys.initialize(target_context)  # all that code needs to run; to refresh it takes 0.25 s
        key = self.key(sig, target_context.codegen())
        for folder in readable_folders():
            try:
                found = self._file(folder, key).load(key)
                if found is not None:
                    return _rebuilt(found, key, sig, target_context)
            except OSError as error:
                log.info("the cache of compiled kernels at %s cannot be read: %s", folder, error)
            except Exception as error:  # unpickling damaged data raises almost anything
                log.warning("a damaged file in the cache at %s is not used: %r", folder, error)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code; where that cannot be done, it is said once what would help."""
        if data.library.has_dynamic_globals:
            _not_kept(f"{self.name} holds addresses of this process", log.info)
            return
        folder = writable_folder()
        if folder is None:
            _not_kept(why_nothing_is_writable(), warn_once)
            return
        key = self.key(sig, data.codegen)
        code = dumps(data._reduce())
        try:
            file = self._file(folder, key)
            file.flush()  # saving reads the index first, which may be damaged
            file.save(key, (key, hashlib.sha256(code).digest(), code))
        except PermissionError as error:  # on Windows: another process has the file open, and has written it
            _not_kept(f"the cache of compiled kernels at {folder} is in use: {error}", log.info)
        except OSError as error:
            _not_kept(f"{folder}: {error.strerror or error}", warn_once)

    def key(self, sig: Any, codegen: Any) -> str:
        """All that machine code depends on, in words."""
        closure = [cell.cell_contents for cell in self.function.__closure__ or ()]
        return repr((
            self.name, sig, codegen.magic_tuple(), simd.description(), sources.digest(),
            hashlib.sha256(repr(list(sources.instructions(self.function.__code__))).encode()).hexdigest(),
            hashlib.sha256(dumps(closure)).hexdigest(),
            sys.implementation.cache_tag, sys.abiflags if os.name != "nt" else "",
            numba.__version__, llvmlite.__version__, [getattr(config, each, None) for each in SETTINGS],
        ))  # fmt: skip

    def _file(self, folder: Path, key: str) -> IndexDataCacheFile:
        name = f"{self.name}-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
        return IndexDataCacheFile(str(folder), name, key)


def _rebuilt(found: Any, key: str, sig: Any, target_context: Any) -> Any:
    """The compiled code in what a file holds; ValueError unless it is what was asked for."""
    written_for, digest, code = found
    if written_for != key or hashlib.sha256(code).digest() != digest:
        raise ValueError("it holds other code than its name says")
    compiled = CompileResult._rebuild(target_context, *pickle.loads(code))
    if compiled.signature.args != tuple(sig):
        raise ValueError(f"it holds code for {compiled.signature}")
    return compiled


@functools.cache
def folders() -> tuple[Path, ...]:
    """Where compiled kernels may lie, in order of preference."""
    return tuple(filter(None, _candidates()))


def _candidates() -> Iterator[Path | None]:
    variables = (getattr(config, "CACHE_DIR", ""), "gpuconv"), (os.environ.get("GPUCONV_CACHE_DIR"), "cpu")
    for name, room in variables:  # Numba has read $NUMBA_CACHE_DIR
        yield named_folder(os.path.join(name, room)) if name else None
    frozen = getattr(sys, "frozen", False)
    if not frozen:
        yield Path(__file__).parents[1] / "__pycache__"
    base = users_cache()
    yield base and base / "gpuconv" / "cpu"
    if frozen:
        yield Path(sys.executable).parent / "gpuconv-cache"


def readable_folders() -> Iterator[Path]:
    """Those to look for code in: up to the first that can be written."""
    for folder in folders():
        yield folder
        if not why_not_writable(folder):
            return


def writable_folder() -> Path | None:
    """Where code is written, or None."""
    return next((folder for folder in folders() if not why_not_writable(folder)), None)


@functools.cache
def why_not_writable(folder: Path) -> str:
    """The reason why nothing can be written there; empty if something can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def why_nothing_is_writable() -> str:
    """Of each folder the reason."""
    return "; ".join(f"{folder}: {why_not_writable(folder)}" for folder in folders())


@contextlib.contextmanager
def must_keep() -> Iterator[None]:
    """Whoever compiles ahead is told at once what cannot be kept, by `NotKept`: a call only takes longer."""
    global _must_keep
    _must_keep = True
    try:
        yield
    finally:
        _must_keep = False


_must_keep = False


def _not_kept(reason: str, say: Callable[[str], None]) -> None:
    if _must_keep:
        raise NotKept(reason)
    say(reason)


def warn_once(reasons: str) -> None:
    """Say what would help, in the first of many kernels that cannot be kept."""
    if not _reasons:
        _reasons.append(reasons)
        log.warning(
            "compiled kernels cannot be kept, so each process compiles them anew (%s): set GPUCONV_CACHE_DIR "
            "to a folder that can be written, or that `gpuconv compile --cpu` has filled on such a processor",
            reasons,
        )


_reasons: list[str] = []  # of the warning that was given
