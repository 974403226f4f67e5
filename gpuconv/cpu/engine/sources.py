"""What kernels are compiled from, as one number: code of other sources is not taken from a cache."""

import functools
import hashlib
import importlib.resources
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

PACKAGE = "gpuconv.cpu"  # what kernels use is written here, or comes from Numba itself


@functools.cache
def digest() -> str:
    """Of all files of the CPU engine; of its bytecode where a program was frozen without them."""
    return _FILES or hashlib.sha256(repr(list(_modules())).encode()).hexdigest()


def _digest_of_files() -> str:
    """Empty if there is no file."""
    try:
        texts = sorted(_texts(importlib.resources.files(PACKAGE), ""))
    except OSError:  # a frozen program's modules lie in no folder
        return ""
    of_all = hashlib.sha256()
    for name, text in texts:
        of_all.update(f"{name} {len(text)} ".encode() + text)
    return of_all.hexdigest() if texts else ""


def _texts(folder: Any, name: str) -> Iterator[tuple[str, bytes]]:
    """(name, text) of each Python file of a folder and of those in it; it may lie in an archive."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _texts(entry, f"{name}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield f"{name}{entry.name}", entry.read_bytes()


def _modules() -> Iterator[tuple[str, list]]:
    """(name, what its bytecode says) of each module: when a kernel is compiled, all are imported."""
    for name, module in sorted(sys.modules.items()):
        if f"{name}.".startswith(f"{PACKAGE}."):
            loader: Any = module.__spec__ and module.__spec__.loader
            yield name, list(instructions(loader.get_code(name)))


def instructions(code: CodeType) -> Iterator[Any]:
    """What a function or module does, in values whose `repr` is the same in every process."""
    yield code.co_code, code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from instructions(constant)
        elif isinstance(constant, frozenset):  # whose order is that of the process
            yield sorted(map(repr, constant))
        else:
            yield constant


_FILES = _digest_of_files()  # as they are when they are imported; later they may be edited
