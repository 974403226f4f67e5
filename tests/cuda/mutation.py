"""Faults planted in the CUDA kernels: a line of source or of compiled PTX is changed, and the kernel is run.

A fault counts as caught if the executor reports it, or if a result differs from the reference. Several
verdicts can be right, because a stray index may be wrong, uninitialised or out of bounds, whichever the
executor meets first.
"""

import importlib
import importlib.abc
import importlib.machinery
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import gpuconv.cuda
from gpuconv.cuda.runtime.compiled import Kernel
from tests import ptx
from tests.cases import integers
from tests.cuda import execution
from tests.cuda.execution import compute, poisoned

WRONG, BEYOND, RACE, UNSET = "wrong result", "OutOfBoundsError", "RaceError", "UninitialisedError"
LATE, MISALIGNED, HARMLESS = "AsynchronousError", "MisalignedError", "harmless"
ROOMS = (  # what a change may reach
    "conv", "conv_bias", "conv_weight", "deform", "pool", "pool_grad", "scatter", "unfold", "device",
)  # fmt: skip
REMADE = tuple(f"gpuconv.cuda.{room}" for room in ROOMS)


class Changed(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Loads one module from a text that is not that of its file."""

    def __init__(self, module: str, text: str) -> None:
        super().__init__(module, str(file_of(module)))
        self.text = text

    def find_spec(self, name, path, target=None):
        found = importlib.machinery.PathFinder.find_spec(name, path)
        if name == self.name:
            found.loader = self
        return found

    def get_code(self, name):
        return compile(self.text, self.path, "exec")


def file_of(module: str) -> Path:
    return Path(importlib.util.find_spec(module).origin)


def changed_room(room: str, module: str, old: str = "", new: str = "") -> ModuleType:
    """A room such as "conv.tiled", made anew with one place of a module such as "conv.tiled.load" changed.

    The modules of the engine that stand in `sys.modules` stay what they are.
    """
    module = f"gpuconv.cuda.{module}"
    text = file_of(module).read_text()
    assert not old or text.count(old) == 1, f"{text.count(old)} places of {module} read {old!r}"
    finder = Changed(module, text.replace(old, new) if old else text)
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_remade(name)}
    attributes = {name: vars(gpuconv.cuda).pop(name) for name in ROOMS}  # so that rooms see changed ones
    sys.meta_path.insert(0, finder)
    try:
        return importlib.import_module(f"gpuconv.cuda.{room}")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _is_remade(name)]:
            del sys.modules[name]
        sys.modules.update(kept)
        vars(gpuconv.cuda).update(attributes)


def _is_remade(name: str) -> bool:
    return any(f"{name}.".startswith(f"{each}.") for each in REMADE)


def faults_of(**modules: Sequence[tuple]) -> list[tuple]:
    """(module, what, ...) of the faults of several modules, whose names have __ for a point."""
    return [(name.replace("__", "."), *fault) for name, faults in modules.items() for fault in faults]


def seldom(faults: Sequence[tuple], every: int) -> pytest.MarkDecorator:
    """A test of each `fault`: kernels compile for seconds, so one fault in `every` is planted in each run of
    the tests, and all of them in slow ones.

    A fault begins with its name, or with the module that it is planted in, written with its room.
    """

    def name(fault: tuple) -> str:
        return ", ".join(fault[:2]) if "." in fault[0] else fault[0]

    return pytest.mark.parametrize("fault", [
        pytest.param(fault, id=name(fault), marks=pytest.mark.slow if i % every else ())
        for i, fault in enumerate(faults)
    ])  # fmt: skip


@contextmanager
def ptx_changed(old: str, new: str, which: int = 0):
    """Let every kernel's PTX be changed at the given match of a pattern (those without it stay)."""
    original = Kernel.ptx

    def changed(self, arch, lowered=None):
        text = original(self, arch, lowered)
        matches = list(re.finditer(old, text))
        if which >= len(matches):
            return text
        place = matches[which]
        return text[: place.start()] + place.expand(new) + text[place.end() :]

    Kernel.ptx = changed
    execution.executable.cache_clear()
    try:
        yield
    finally:
        Kernel.ptx = original
        execution.executable.cache_clear()


def verdict(compute_case: Callable[[], tuple[np.ndarray, np.ndarray]]) -> str:
    """What is wrong with (a result, what it should be): a fault's name, "wrong result", or HARMLESS."""
    try:
        found, expected = compute_case()
    except ptx.PtxError as fault:
        return type(fault).__name__
    return HARMLESS if np.array_equal(found, expected.astype(found.dtype), equal_nan=True) else WRONG


def verdict_of_conv(algorithm, case, arrays=None) -> str:
    """That of a convolution's algorithm on a case, of integers unless arrays are given."""

    def compute_case() -> tuple[np.ndarray, np.ndarray]:
        x, w, bias = arrays or case.arrays("float32", integers)
        y = poisoned(case.spec().out_shape, "float32")
        compute(algorithm, case.spec(), (x, w, bias), (y,))
        return y, case.expected(x, w, bias)

    return verdict(compute_case)
