"""Batches whose channels lie side by side come back so: of torch from every operator, as its own do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuconv
from gpuconv.arrays.tensors import TorchLibrary
from tests.cases import integers

torch = pytest.importorskip("torch")
functional, LAST = torch.nn.functional, torch.channels_last

X = torch.from_numpy(integers((2, 6, 7, 8), "float32")).to(memory_format=LAST)
W = torch.from_numpy(integers((5, 6, 3, 3), "float32", 1))
BIAS = torch.from_numpy(integers((5,), "float32", 2))
CALLS = {
    "conv2d": (W, BIAS, 2, 1),
    "max_pool2d": (3, 2, 1),
    "avg_pool2d": (3, 2, 1),
}
over_operators = pytest.mark.parametrize("name", CALLS)


@over_operators
def test_results_lie_as_the_input(name):
    ours, theirs = (getattr(of, name) for of in (gpuconv, functional))
    for _ in range(2):
        y = ours(X, *CALLS[name])
        assert y.is_contiguous(memory_format=LAST) and not y.is_contiguous()
        assert y.stride() == theirs(X, *CALLS[name]).stride()
        assert torch.equal(y, ours(X.contiguous(), *CALLS[name]))
    assert ours(X.contiguous(), *CALLS[name]).is_contiguous()


def test_indices_lie_so_too():
    values, indices = gpuconv.max_pool2d(X, 2, return_indices=True)
    assert values.is_contiguous(memory_format=LAST) and indices.is_contiguous(memory_format=LAST)
    for ours, theirs in zip((values, indices), functional.max_pool2d(X, 2, return_indices=True), strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    out = torch.empty(values.shape)
    given, places = gpuconv.max_pool2d(X, 2, return_indices=True, out=out)
    assert given is out and out.is_contiguous() and torch.equal(out, values)
    assert places.is_contiguous(memory_format=LAST)


def test_a_plan_made_for_either():
    plan = gpuconv.plan_conv2d(X.contiguous(), W)
    assert plan(X.contiguous(), W).is_contiguous()
    assert plan(X, W).is_contiguous(memory_format=LAST)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_every_dtype(dtype):
    y = gpuconv.max_pool2d(X.to(dtype), 2)
    assert y.dtype == dtype and y.is_contiguous(memory_format=LAST)
    assert torch.equal(y, functional.max_pool2d(X.to(dtype), 2))


def test_what_is_no_batch_of_them():
    assert gpuconv.max_pool2d(X[0], 2).is_contiguous()
    assert gpuconv.max_pool2d(X[:0], 2).shape == (0, 6, 3, 4)
    assert gpuconv.max_pool2d(X.numpy()[0], 2).flags.c_contiguous


@over_operators
def test_arrays_of_numpy_lie_so_too(name):
    others = [each.numpy() if torch.is_tensor(each) else each for each in CALLS[name]]
    y = getattr(gpuconv, name)(X.numpy(), *others)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous and y.flags.owndata
    np.testing.assert_array_equal(y, getattr(functional, name)(X, *CALLS[name]).numpy())


def test_operators_whose_results_have_no_such_order():
    """Columns, and sums of planes."""
    assert torch.equal(gpuconv.unfold(X, 3), functional.unfold(X, 3))
    assert torch.equal(gpuconv.grad.conv2d_bias(X), X.sum((0, 2, 3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_transposed_convolution_with_an_activation(dtype):
    x, w, residual = X.to(dtype), torch.ones(6, 2, 3, 3, dtype=dtype), torch.ones(2, 2, 9, 10, dtype=dtype)
    y = gpuconv.conv_transpose2d(x, w, residual=residual, activation="relu")
    assert torch.equal(y, gpuconv.conv_transpose2d(x.contiguous(), w, residual=residual, activation="relu"))
    assert y.is_contiguous(memory_format=LAST)


CUTS = {
    "whole": np.s_[:],
    "some channels": np.s_[:, ::2],
    "some rows": np.s_[:, :, 1:],
    "some columns": np.s_[..., 1:],
    "every other": np.s_[:, :, ::2, ::2],
    "one image": np.s_[:1],
}
ORDERS = {"channels last": (0, 2, 3, 1), "in order": (0, 1, 2, 3), "columns before rows": (0, 3, 2, 1)}


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(*[st.integers(1, 4)] * 4),
    st.sampled_from(sorted(ORDERS)),
    st.sampled_from(sorted(CUTS)),
    st.booleans(),
)
def test_what_torch_takes_for_channels_last(shape, order, cut, expanded):
    axes = ORDERS[order]
    x = torch.ones([shape[axis] for axis in axes]).permute(*np.argsort(axes).tolist())[CUTS[cut]]
    if expanded and x.numel():
        x = x[:, :, :1].expand(-1, -1, 3, -1)
    if x.numel():
        assert gpuconv.max_pool2d(x, 1).stride() == functional.max_pool2d(x, 1).stride()


def test_on_a_gpu_torch_copies():
    class OnGpu(torch.Tensor):
        is_cpu = False

    y = torch.arange(24.0).reshape(1, 2, 3, 4)
    last = TorchLibrary()._channels_last(y.as_subclass(OnGpu))
    assert last.is_contiguous(memory_format=LAST) and torch.equal(last, y)
