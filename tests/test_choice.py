"""What `explain` says first is what runs: every case in every layout, on both engines, also by force."""

from dataclasses import replace

import numpy as np
import pytest

import gpuconv
from gpuconv import call as calls
from gpuconv import cpu, cuda
from gpuconv.algorithm import explain, refusal, select
from gpuconv.call import understand
from gpuconv.cuda.runtime.gpu import GPUS, H200
from tests.cases import CONV_CASES, POOL_CASES, POOL_DTYPES, integers
from tests.layouts import READABLE, WRITABLE
from tests.sampling import few

FUNCTIONS = {"max": gpuconv.max_pool2d, "avg": gpuconv.avg_pool2d}
TURING = replace(H200, name="a GPU before sm_80", capability=(7, 5))
GEMMS = "conv_implicit_gemm", "conv_implicit_gemm_3xtf32"
HELPERS = {"sum_splits": (*GEMMS, "conv_winograd"), "winograd_weights": ("conv_winograd",)}
EXTREMES = {  # problems whose layouts decide
    "3x3 of many channels": ((2, 256, 28, 28), (256, 256, 3, 3), {"padding": 1}),
    "1x1": ((2, 32, 8, 8), (64, 32, 1, 1), {}),
}


@pytest.fixture
def ran(monkeypatch):
    """The names of the CPU's algorithms whose plans have computed, in an empty memory of calls."""
    names = []

    def noted(algorithm):
        def plan(spec, layouts, device):
            compute = algorithm.plan(spec, layouts, device)

            def run(*arrays):
                names.append(algorithm.name)
                compute(*arrays)

            return run

        return replace(algorithm, plan=plan)

    listed = {room: tuple(map(noted, algorithms)) for room, algorithms in cpu.ALGORITHMS.items()}
    monkeypatch.setattr(cpu, "ALGORITHMS", listed)
    monkeypatch.setattr(calls, "_known", {})
    return names


def problems():
    """(id, function, arrays, parameters) of every case, and of some more."""
    for case in CONV_CASES:
        yield f"conv, {case}", gpuconv.conv2d, case.arrays("float32", integers), case.parameters
    for name, (x, w, parameters) in EXTREMES.items():
        arrays = integers(x, "float32"), integers(w, "float32"), None
        yield f"conv, {name}", gpuconv.conv2d, arrays, parameters
    for case in POOL_CASES:
        for dtype in POOL_DTYPES:
            yield f"{case}, {dtype}", FUNCTIONS[case.op], (integers(case.x, dtype),), case.parameters
        if case.op == "max":
            parameters = {**case.parameters, "return_indices": True}
            yield f"{case}, indices", gpuconv.max_pool2d, (integers(case.x, "float32"),), parameters


PROBLEMS = {name: rest for name, *rest in problems()}
OTHERS = [name for i, name in enumerate(PROBLEMS) if i % 4]


def laid(arrays, layout):
    return [None if array is None else READABLE[layout](array) for array in arrays]


@pytest.mark.parametrize("name", few([*PROBLEMS][::4] + OTHERS, len([*PROBLEMS][::4])))
def test_what_is_said_is_what_runs_on_the_cpu(name, ran):
    function, arrays, parameters = PROBLEMS[name]
    result = function(*arrays, **parameters)
    values = result[0] if isinstance(result, tuple) else result
    for layout in READABLE:
        given = laid(arrays, layout)
        out = WRITABLE[layout](np.empty_like(values)) if layout in WRITABLE else None
        said = gpuconv.explain(function, *given, **parameters, out=out)
        ran.clear()
        function(*given, **parameters, out=out)
        is_cut = layout == "byte-swapped" and not values.size  # into pieces that fit: perhaps into none
        assert ran == [said[0][0]] or (is_cut and not ran), layout


@pytest.mark.parametrize("gpu", few([H200, GPUS["l4"], TURING], 1), ids=lambda gpu: gpu.name)
@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_said_is_what_is_queued_on_a_gpu(name, gpu):
    function, arrays, parameters = PROBLEMS[name]
    for layout in ("contiguous", "channels last", "strided", "reversed"):
        call = understand(function, *laid(arrays, layout), **parameters)
        listed = cuda.ALGORITHMS[call.operator.room]
        said = explain(listed, call.spec, call.layouts, gpu)[0][0]
        chosen = select(listed, call.spec, call.layouts, gpu)
        assert chosen.name == said
        for algorithm in listed:
            if refusal(algorithm, call.spec, call.layouts, gpu) is None:
                for kernel in kernels(algorithm.plan(call.spec, call.layouts, gpu)):
                    name = kernel.name.split()[0]
                    assert algorithm.name in HELPERS.get(name, (name,)), layout


def kernels(plan):
    """Those of a launch, or of several one after the other."""
    launches = getattr(plan, "launches", None)
    return [plan.kernel] if launches is None else [launch.kernel for launch, _ in launches]


def test_where_layouts_decide_on_a_gpu():
    """Winograd reads rows whose columns lie side by side, and the GEMM weights without gaps."""
    x, w, parameters = EXTREMES["3x3 of many channels"]
    x, w = integers(x, "float32"), integers(w, "float32")

    def chosen(x, w, gpu=H200):
        call = understand(gpuconv.conv2d, x, w, **parameters)
        return select(cuda.ALGORITHMS["conv"], call.spec, call.layouts, gpu).name

    last = READABLE["channels last"]
    for gpu, with_gaps in ((H200, "conv_implicit_gemm_3xtf32"), (GPUS["l4"], "conv_implicit_gemm")):
        assert chosen(last(x), w, gpu) == with_gaps
        assert chosen(last(x), last(w), gpu) == "conv_tiled"
    assert chosen(x, w, GPUS["l4"]) == "conv_winograd"
    assert chosen(x, w, TURING) == "conv_implicit_gemm"
