"""Predicted times of the CPU's convolutions beside measured ones, of problems that nobody chose."""

import time

import numpy as np
import pytest

from gpuconv.call import forced, understand
from gpuconv.cpu.conv import SUMS
from gpuconv.spec import ConvSpec
from profiling.workloads.drawn import drawn
from profiling.workloads.operands import operands, public_call


@pytest.mark.slow
def test_predictions_are_in_the_order_of_the_measured_times():
    """Of 100 drawn problems: Spearman's rank correlation over all algorithms that can run each of them."""
    specs = [layer.spec for layer in drawn(400, seed=77).layers if isinstance(layer.spec, ConvSpec)]
    specs = [spec for spec in specs if spec.flops < 1e8][:100]
    predicted, measured, lost = [], [], []
    for spec in specs:
        times = _times(spec)
        predicted += [prediction for prediction, _ in times]
        measured += [taken for _, taken in times]
        lost.append(np.log(min(times)[1] / min(taken for _, taken in times)))
    ranks = [np.argsort(np.argsort(each)) for each in (predicted, measured)]
    assert np.corrcoef(*ranks)[0, 1] > 0.9
    assert np.exp(np.mean(lost)) < 1.25


def _times(spec):
    """(predicted, measured) seconds of each algorithm that is predicted to take less than 10 ms."""
    public = public_call(spec, operands(spec))
    call = understand(public.func, *public.args, **public.keywords)
    given = call.spec, call.layouts, call.device
    able = [each for each in SUMS if each.takes and not each.unsupported(*given)]
    costs = {each.name: each.cost(*given) for each in able}
    least = min(costs.values())
    names = [name for name, cost in costs.items() if cost < max(0.01, 2 * least)]
    return [
        (costs[name], _fastest(forced(public.func, name, *public.args, **public.keywords))) for name in names
    ]


def _fastest(compute):
    compute()
    taken = []
    for _ in range(5):
        begin = time.perf_counter()
        compute()
        taken.append(time.perf_counter() - begin)
    return min(taken)
