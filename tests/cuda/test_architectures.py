"""Every kernel, compiled for every architecture, executed at least once: compilers make other code for each.

The problems are those by which `gpuconv verify` covers the kernels of an H200. All of them take more than an
hour; in the wide set are the newest architecture's smaller rooms, of one dtype each.
"""

import functools
from dataclasses import replace

import pytest

from gpuconv import algorithm as algorithms
from gpuconv import cuda as engine
from gpuconv.commands.covering import ROOMS, call_of, covering, is_known
from gpuconv.commands.problems import arrays, laid
from gpuconv.commands.verify import REFERENCES, compare
from gpuconv.cuda.runtime.compiled import compute_capability
from gpuconv.cuda.runtime.gpu import H200
from tests.cuda.execution import compute, poisoned

QUICK = (
    ("pool_grad", "float32"), ("scatter", "float32"), ("unfold", "float32"), ("pool", "int8"),
    ("conv_bias", "float32"),
)  # fmt: skip
NEWEST = engine.ARCHITECTURES[-1]
EACH = [(room, dtype) for room, (dtypes, _) in ROOMS.items() for dtype in dtypes if is_known(dtype)]


@functools.cache
def covered(room):
    """(Algorithm, dtype, problem) of each run that launches another kernel."""
    only = {name: engine.ALGORITHMS[name] if name == room else () for name in ROOMS}
    by_name = {each.name: each for each in engine.ALGORITHMS[room]}
    return [(by_name[each.algorithm], each.dtype, each.problem) for each in covering(only, H200)]


def _batched(array, layout):
    """An array of one image as a batch of one."""
    return None if array is None or layout is None else array.reshape(layout.shape)


def _product():
    for room, dtype in EACH:
        for arch in engine.ARCHITECTURES:
            is_quick = arch == NEWEST and (room, dtype) in QUICK
            yield pytest.param(room, dtype, arch, marks=pytest.mark.wide if is_quick else pytest.mark.slow)


@pytest.mark.parametrize(("room", "dtype", "arch"), _product())
def test_every_kernel_runs_on_every_architecture(room, dtype, arch):
    gpu = replace(H200, capability=compute_capability(arch)[:2])
    for algorithm, kind, problem in covered(room):
        call = call_of(problem, kind)
        if kind != dtype or algorithms.refusal(algorithm, call.spec, call.layouts, gpu) is not None:
            continue
        x, rest = arrays(problem, dtype)
        expected = REFERENCES[problem.function](laid(problem, x), *rest, **problem.parameters)
        outputs = [poisoned(each.shape, each.dtype) for each in expected]
        places = [None] * (room == "pool" and len(outputs) == 1)
        given = [laid(problem, x), *rest, *[None] * len(call.layouts)]  # what is not given comes last
        given = [*given[: len(call.layouts) - len(outputs) - len(places)], *outputs, *places]
        views = [_batched(array, lay) for array, lay in zip(given, call.layouts, strict=True)]
        count = len(outputs) + len(places)
        compute(algorithm, call.spec, views[:-count], views[-count:], arch, gpu)
        wrong = next(filter(None, map(compare, outputs, expected)), None)
        assert wrong is None, f"{algorithm.name}, {problem}: {wrong}"
