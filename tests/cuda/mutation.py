"""Faults planted in the CUDA kernels: a line of source or of compiled PTX is changed, and the kernel is run.

A fault counts as caught if the executor reports it, or if a result differs from the reference.
"""

import re
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gpuconv.arrays import NUMPY
from gpuconv.cuda.conv import tiled as conv_tiled
from gpuconv.cuda.device import axis as halo
from gpuconv.cuda.pool import direct as pool_direct
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.launch import Launch
from tests import ptx, reference
from tests.cases import ConvCase, PoolCase, integers
from tests.cuda import execution
from tests.cuda.execution import on_device, poisoned

CONVOLUTIONS = (
    ConvCase("more channels than a stage holds", (1, 70, 9, 11), (40, 70, 3, 3), padding=1, bias=True),
    ConvCase("stride and groups", (1, 6, 9, 150), (8, 3, 3, 2), 2, ((1, 2), (0, 3)), (1, 3), 2, bias=True),
    ConvCase("a stage of one tap", (1, 2, 3, 900), (2, 2, 1, 3), dilation=(1, 400)),
    ConvCase("depthwise, ragged", (1, 3, 18, 70), (3, 1, 3, 3), padding=1, groups=3),
    ConvCase("a stage of one row of taps", (1, 2, 33, 40), (5, 2, 29, 31), padding=(14, 15), bias=True),
)
POOLS = (
    PoolCase("ragged, of several blocks", "max", (2, 3, 29, 20), 3, 2, 1, ceil_mode=True),
    PoolCase("dilated", "max", (1, 2, 11, 12), (2, 3), (1, 2), 1, (3, 2)),
    PoolCase("padded", "avg", (2, 3, 9, 10), 3, 2, 1),
    PoolCase("padded, of the image alone", "avg", (2, 3, 9, 10), 2, 2, 1, count_include_pad=False),
    PoolCase(
        "ragged, hanging over the end", "avg", (1, 2, 7, 8), (3, 2), 3, ((1, 0), (0, 1)), ceil_mode=True
    ),
    PoolCase("divided by 5", "avg", (1, 2, 7, 8), 2, divisor_override=5),
)
HARMLESS = "harmless"


def changed_module(module: ModuleType, old: str, new: str) -> ModuleType:
    """The module with one place of its source changed."""
    source = Path(module.__file__).read_text()
    assert source.count(old) == 1, f"{source.count(old)} places of {module.__name__} read {old!r}"
    copy = ModuleType(module.__name__)
    copy.__file__ = module.__file__
    exec(compile(source.replace(old, new), module.__file__, "exec"), vars(copy))
    return copy


def seldom(faults: Sequence[tuple], every: int) -> pytest.MarkDecorator:
    """A test of each `fault`: kernels compile for seconds, so one fault in `every` is planted in each run of
    the tests, and all of them in slow ones.

    A fault begins with its name, or with the module that it is planted in.
    """

    def name(fault: tuple) -> str:
        first, second, *_ = fault
        return first if isinstance(first, str) else f"{first.__name__.split('.')[-1]}, {second}"

    return pytest.mark.parametrize("fault", [
        pytest.param(fault, id=name(fault), marks=pytest.mark.slow if i % every else ())
        for i, fault in enumerate(faults)
    ])  # fmt: skip


@contextmanager
def ptx_changed(old: str, new: str, which: int = 0):
    """Let every kernel's PTX be changed at the given match of a pattern (those without it stay)."""
    original = Kernel.ptx

    def changed(self, arch):
        text = original(self, arch)
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


def verdict(convolution: ModuleType | None, pool: ModuleType | None) -> str:
    """What is wrong with the kernels of these modules: a fault's name, "wrong result", or HARMLESS."""
    original = Launch.start
    Launch.start = lambda self, output, *arrays: self.blocks and execution.execute(self, *arrays)
    NUMPY.scratch = execution.scratch
    try:
        for case in CONVOLUTIONS if convolution else ():
            if not _convolves(convolution, case):
                return "wrong result"
        for case in POOLS if pool else ():
            if not _pools(pool, case):
                return "wrong result"
    except ptx.PtxError as fault:
        return type(fault).__name__
    finally:
        Launch.start = original
        del NUMPY.scratch
    return HARMLESS


def _convolves(module: ModuleType, case: ConvCase) -> bool:
    x, w, bias = case.arrays("float32", integers)
    spec = case.spec()
    y = poisoned(spec.out_shape, "float32")
    module.run(spec, on_device(x), on_device(w), on_device(bias), on_device(y, True))
    return np.array_equal(y, case.expected(x, w, bias).astype("float32"))


def _pools(module: ModuleType, case: PoolCase) -> bool:
    x = integers(case.x, "float32")
    x[..., 3:5, 2:6] = np.nan
    x[..., 5:8, 7:10] = -np.inf
    spec = case.spec(return_indices=case.op == "max")
    y = poisoned(spec.out_shape, "float32")
    indices = poisoned(spec.out_shape, "int64") if case.op == "max" else None
    module.run(spec, on_device(x), on_device(y, True), None if indices is None else on_device(indices, True))
    if case.op == "avg":
        return np.array_equal(y, case.expected(x).astype("float32"), equal_nan=True)
    values, places = reference.max_pool2d(x, **case.parameters)
    return np.array_equal(y, values, equal_nan=True) and np.array_equal(indices, places)


def with_stage(old: str, new: str) -> ModuleType:
    """`conv_tiled` whose shared memory is laid out by a changed `halo`."""
    module = changed_module(conv_tiled, "def unsupported(", "def unsupported(")
    module.largest_stage = changed_module(halo, old, new).largest_stage
    return module


__all__ = ["HARMLESS", "changed_module", "conv_tiled", "pool_direct", "ptx_changed", "verdict", "with_stage"]
