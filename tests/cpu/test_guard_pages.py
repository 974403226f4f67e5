"""No algorithm reads or writes past the ends of its arrays, beside pages that may not be touched."""

import sys

import pytest

from tests.sampling import few

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="mmap and mprotect are POSIX")

CONVOLUTIONS = """
import faulthandler, sys
import numpy as np
from gpuconv import cpu
from tests.cases import CONV_CASES, integers
from tests.cpu.problems import refused, run
from tests.guarded import after_guard, before_guard
faulthandler.enable()
count = 0
for case in CONV_CASES:
    for dtype in ("float32", "float64"):
        x, w, bias = case.arrays(dtype, integers)
        expected = case.expected(x, w, bias).astype(dtype)
        for algorithm in cpu.ALGORITHMS["conv"]:
            spec = case.spec(dtype)
            for place in (before_guard, after_guard):
                if refused(algorithm, spec) is None:
                    print(algorithm.name, case, dtype, place.__name__, file=sys.stderr, flush=True)
                    y = place(np.full(spec.out_shape, np.nan, dtype))
                    bias = np.zeros(spec.K, dtype) if bias is None else bias
                    run(algorithm, spec, place(x), place(w), place(bias), y)
                    assert np.array_equal(y, expected)
                    count += 1
print(count)
"""
EPILOGUES = """
import faulthandler, sys
from dataclasses import replace
import numpy as np
from gpuconv import cpu
from gpuconv.spec.epilogue import Epilogue
from tests import reference
from tests.cases import CONV_CASES, integers
from tests.cpu.problems import refused, run
from tests.guarded import after_guard, before_guard
faulthandler.enable()
count = 0
for case in CONV_CASES:
    x, w, bias = case.arrays("float32", integers)
    sums = case.expected(x, w, bias)
    added = integers(sums.shape, "float32", 7)
    bias = np.zeros(len(w), "float32") if bias is None else bias
    for epilogue in (Epilogue(True, "relu6"), Epilogue(True, "hardswish")):
        spec = replace(case.spec("float32"), epilogue=epilogue)
        expected = reference.activate(sums + added, epilogue.activation)
        for algorithm in cpu.ALGORITHMS["conv"]:
            for place in (before_guard, after_guard):
                if refused(algorithm, spec) is None:
                    print(algorithm.name, case, epilogue, place.__name__, file=sys.stderr, flush=True)
                    y = place(np.full(spec.out_shape, np.nan, "float32"))
                    run(algorithm, spec, place(x), place(w), place(bias), place(added), y)
                    assert np.allclose(y, expected, rtol=1e-6, atol=1e-6)
                    count += 1
print(count)
"""

POOLS = """
import faulthandler, sys
import numpy as np
from gpuconv import cpu
from tests.cases import POOL_CASES, integers
from tests.cpu.problems import refused, run
from tests.guarded import after_guard, before_guard
faulthandler.enable()
count = 0
for case in POOL_CASES:
    for dtype in ("float32", "float64"):
        for with_indices in {False, case.op == "max"}:
            spec = case.spec(dtype, with_indices)
            x = integers(case.x, dtype)
            results = []
            for algorithm in cpu.ALGORITHMS["pool"]:
                for place in (before_guard, after_guard):
                    if refused(algorithm, spec) is None:
                        print(algorithm.name, case, dtype, place.__name__, file=sys.stderr, flush=True)
                        y = place(np.full(spec.out_shape, np.nan, dtype))
                        indices = place(np.full(spec.out_shape, -77)) if with_indices else None
                        run(algorithm, spec, place(x), y, indices)
                        results.append(y)
                        count += 1
            assert all(np.array_equal(y, results[0]) for y in results)
print(count)
"""


OTHERS = """
import faulthandler, sys
import numpy as np
import gpuconv
from gpuconv.call import make
from gpuconv.operators import OPERATORS
from tests.cases import PATCHES_CASES, POOL_CASES, integers
from tests.guarded import after_guard, before_guard
faulthandler.enable()
count = 0

def check(name, arrays, parameters):
    global count
    expected = make(OPERATORS[name], (*arrays, None), parameters, None)
    for place in (before_guard, after_guard):
        print(name, parameters, place.__name__, file=sys.stderr, flush=True)
        out = place(np.full_like(expected, np.nan))
        make(OPERATORS[name], (*map(place, arrays), out), parameters, None)
        assert np.array_equal(out, expected)
        count += 1

for case in POOL_CASES:
    for dtype in ("float32", "float64"):
        rest = case.kernel_size, case.stride, case.padding
        if case.op == "avg":
            dy = integers(case.spec(dtype).out_shape, dtype)
            options = case.ceil_mode, case.count_include_pad, case.divisor_override
            check("grad.avg_pool2d", (dy,), (case.x, *rest, *options))
            if dy.size and 0 not in case.x:
                check("grad.adaptive_avg_pool2d", (dy,), (case.x,))
        else:
            dy, indices = gpuconv.max_pool2d(integers(case.x, dtype), **case.parameters, return_indices=True)
            check("grad.max_pool2d", (dy, indices), (case.x, *rest, case.dilation, case.ceil_mode))
            check("grad.max_pool2d", (dy, indices), (case.x, None, None, 0, 1, False))
for case in PATCHES_CASES:
    for dtype in ("float32", "float64"):
        x, parameters = integers(case.x, dtype), tuple(case.parameters.values())
        check("unfold", (x,), parameters)
        check("fold", (gpuconv.unfold(x, *parameters),), (case.x[2:], *parameters))
print(count)
"""


@pytest.mark.wide  # seconds of fresh processes
@pytest.mark.parametrize(
    "code",
    few([POOLS, CONVOLUTIONS, OTHERS, EPILOGUES], 1),
    ids=["pools", "convolutions", "gradients and patches", "epilogues"],
)
def test_nothing_beyond_the_arrays_is_touched(code, fresh_python):
    assert int(fresh_python(code, timeout=300)) > 100


def test_a_stray_read_is_caught(fresh_python):
    code = '''
import subprocess, sys
touch = """
import ctypes, numpy as np
from tests.guarded import before_guard
array = before_guard(np.ones(5))
ctypes.string_at(array.ctypes.data, array.nbytes + {})
"""
print(*(subprocess.run([sys.executable, "-c", touch.format(beyond)]).returncode == 0 for beyond in (0, 1)))
'''
    assert fresh_python(code) == "True False"
