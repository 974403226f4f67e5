"""What calls of several arrays queue: pointers in the order of the kernel. The driver takes notes."""

import sys

import numpy as np
import pytest

import gpuconv
from gpuconv import call as calls
from gpuconv.cuda import pool_grad, scatter, unfold
from gpuconv.cuda.pool_grad.shares import KERNEL_OF as SHARES
from gpuconv.cuda.scatter.ordered import KERNEL_OF as SCATTERS
from tests import fakes
from tests.cases import integers

X = integers((2, 3, 8, 9), "float32")
Y, INDICES = gpuconv.max_pool2d(X, 3, 2, 1, return_indices=True)


@pytest.fixture
def cupy(monkeypatch):
    module = fakes.cupy_module()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(calls, "_known", {})
    return module


def array(host):
    return fakes.FakeCuPyArray(np.array(host))


CALLS = {
    "grad.max_pool2d": (
        SCATTERS["float32", "sum"], lambda dy, i: gpuconv.grad.max_pool2d(dy, i, X.shape, 3, 2, 1),
    ),
    "max_unpool2d": (SCATTERS["float32", "last"], lambda y, i: gpuconv.max_unpool2d(y, i, 3, 2, 1, (8, 9))),
    "grad.avg_pool2d": (
        SHARES["float32", "regular"], lambda dy: gpuconv.grad.avg_pool2d(dy, X.shape, 3, 2, 1),
    ),
    "grad.adaptive_avg_pool2d": (
        SHARES["float32", "adaptive"], lambda dy: gpuconv.grad.adaptive_avg_pool2d(dy, (2, 3, 9, 9)),
    ),
    "unfold": (unfold.copies.KERNEL_OF[4], lambda x: gpuconv.unfold(x, 3)),
    "fold": (unfold.sums.KERNEL_OF["float32"], lambda x: gpuconv.fold(x, (6, 9), (2, 3))),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_pointers_come_in_the_order_of_the_kernel(name, driver, cupy):
    kernel, function = CALLS[name]
    driver.slots, driver.context = len(kernel.arguments), 70
    arrays = [array(Y), array(INDICES)][: len(kernel.pointers) - 1]
    if name == "fold":
        arrays = [array(integers((2, 18, 35), "float32"))]
    result = function(*arrays)
    pointers = driver.launches[-1].values[: len(kernel.pointers)]
    assert [*pointers] == [each.data.ptr for each in (*arrays, result)]


@pytest.mark.parametrize("is_added", [False, True])
def test_sums_of_16_bits_go_through_memory_of_our_own(is_added, driver, cupy):
    """Of kernels of different signatures the first four arguments are looked at."""
    driver.slots, driver.context = 4, 70
    x, w, added = (array(integers(shape, "float16")) for shape in ((2, 3, 6, 7), (4, 3, 1, 1), (2, 4, 6, 7)))
    y = gpuconv.conv2d(x, w, activation="relu", residual=added if is_added else None)
    convolved, finished = (launch.values for launch in driver.launches)
    sums = convolved[3]
    assert [*convolved[:3]] == [x.data.ptr, w.data.ptr, 0] and sums not in (0, y.data.ptr)
    assert [*finished[:3]] == [sums, added.data.ptr if is_added else 0, y.data.ptr]


def test_every_kernel_has_its_result_last():
    for kernel in (*scatter.KERNELS, *pool_grad.KERNELS, *unfold.KERNELS):
        assert kernel.pointers in (("x", "y"), ("x", "indices", "y"), ("x", "image", "result", "y"))


def test_indices_are_not_looked_at_by_the_host(driver, cupy):
    driver.slots, driver.context = len(SCATTERS["float32", "sum"].arguments), 70
    dx = gpuconv.grad.max_pool2d(array(Y), array(INDICES + 10**6), X.shape)
    assert dx.shape == X.shape and len(driver.launches) == 1
