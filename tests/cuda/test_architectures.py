"""Every kernel, compiled for every architecture, executed at least once: compilers make other code for each.

The problems are those by which `gpuconv verify` covers the kernels of an H200.
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

pytestmark = pytest.mark.wide
EACH = [(room, dtype) for room, (dtypes, _) in ROOMS.items() for dtype in dtypes if is_known(dtype)]


@functools.cache
def covered(room):
    """(Algorithm, dtype, problem) of each run that launches another kernel."""
    only = {name: engine.ALGORITHMS[name] if name == room else () for name in ROOMS}
    by_name = {each.name: each for each in engine.ALGORITHMS[room]}
    return [(by_name[each.algorithm], each.dtype, each.problem) for each in covering(only, H200)]


@pytest.mark.parametrize("arch", engine.ARCHITECTURES)
@pytest.mark.parametrize(("room", "dtype"), EACH)
def test_every_kernel_runs_on_every_architecture(arch, room, dtype):
    gpu = replace(H200, capability=compute_capability(arch)[:2])
    for algorithm, kind, problem in covered(room):
        call = call_of(problem, kind)
        if kind != dtype or algorithms.refusal(algorithm, call.spec, call.layouts, gpu) is not None:
            continue
        x, rest = arrays(problem, dtype)
        expected = REFERENCES[problem.function](laid(problem, x), *rest, **problem.parameters)
        outputs = [poisoned(each.shape, each.dtype) for each in expected]
        places = [None] * (room == "pool" and len(outputs) == 1)
        most = len(call.layouts._fields) - len(outputs) - len(places)
        inputs = [laid(problem, x), *rest, *[None] * most][:most]  # what is not given, at the end
        compute(algorithm, call.spec, inputs, (*outputs, *places), arch, gpu)
        wrong = next(filter(None, map(compare, outputs, expected)), None)
        assert wrong is None, f"{algorithm.name}, {problem}: {wrong}"
