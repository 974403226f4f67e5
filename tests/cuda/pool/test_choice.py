"""The list of pools: what is taken, what is refused by all, and what is bound to the kernels by name."""

from dataclasses import replace

import pytest

from gpuconv.algorithm import select
from gpuconv.cuda.pool import ALGORITHMS, KERNELS
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec import PoolSpec
from tests.cuda.execution import contiguous

SPEC = PoolSpec("max", 2, 3, 16, 16, 5, 5)


def test_the_order_is_that_of_preference():
    names = ["pool_global", "pool_rows", "pool_separable", "pool_direct", "pool_norms"]
    assert [each.name for each in ALGORITHMS] == names
    assert all(each.fast_for for each in ALGORITHMS)


@pytest.mark.parametrize("changes", [{"reduction": "sum"}, {"dtype": "complex64"}])
def test_what_no_algorithm_was_taught_is_refused_by_all(changes):
    layouts = contiguous(SPEC)
    with pytest.raises(ValueError) as refused:
        select(ALGORITHMS, replace(SPEC, **changes), layouts, H200)
    assert all(each.name in str(refused.value) for each in ALGORITHMS)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize(("R", "stride"), [(16, 16), (3, 1), (2, 2), (5, 1), (1, 2)])
@pytest.mark.parametrize("changes", [{}, {"reduction": "mean"}, {"return_indices": True}])
def test_every_algorithm_plans_what_it_takes(changes, R, stride, dtype):
    """A plan binds all scalars of its kernel by name, or raises."""
    spec = PoolSpec("max", 2, 3, 16, 16, R, R, stride=(stride, stride), dtype=dtype)
    spec = replace(spec, **changes)
    layouts = contiguous(spec)
    planned = []
    for algorithm in ALGORITHMS:
        try:
            chosen = select(ALGORITHMS, spec, layouts, H200, algorithm.name)
        except ValueError:
            continue
        launch = chosen.plan(spec, layouts, H200)
        assert launch.kernel in KERNELS and launch.kernel.name.startswith(f"{algorithm.name} {dtype}")
        planned.append(algorithm.name)
    assert planned[-1] == "pool_direct"
