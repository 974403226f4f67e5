"""Values, gradients and second derivatives, beside PyTorch's and by finite differences; what is refused."""

import inspect

import numpy as np
import pytest

import gpuconv
from tests.torch_operators.calls import BIAS, CALLS, IMAGE, WEIGHT, numbers, over_calls, over_calls_of_torch

torch = pytest.importorskip("torch")
import gpuconv.torch  # noqa: E402

functional, LAST = torch.nn.functional, torch.channels_last
FUNCTIONS = [name for name in gpuconv.__all__ if hasattr(gpuconv.torch, name) and name != "torch"]


def called(name, others, module=gpuconv.torch):
    return lambda *tensors: getattr(module, name)(*tensors, **others)


def differentiable(tensors):
    return [each.clone().requires_grad_(each.is_floating_point() or each.is_complex()) for each in tensors]


def test_every_operator_of_images_is_there_with_the_arguments_of_its_namesake():
    assert len(FUNCTIONS) == 12
    for name in FUNCTIONS:
        ours, theirs = (inspect.signature(getattr(of, name)).parameters for of in (gpuconv.torch, gpuconv))
        assert [*ours] == [each for each in theirs if each != "out"]
        assert all(ours[each].default == theirs[each].default for each in ours)
        assert all(ours[each].kind == theirs[each].kind for each in ours)


@over_calls_of_torch
@pytest.mark.parametrize("layout", ["in order", "channels last"])
def test_values_and_gradients_are_those_of_torch(name, tensors, others, layout):
    if layout == "channels last":
        if tensors[0].dim() != 4:
            pytest.skip("no batch of images")
        tensors = [
            each.to(memory_format=LAST) if each.shape[:1] == tensors[0].shape[:1] else each
            for each in tensors
        ]
    ours, theirs = differentiable(tensors), differentiable(tensors)
    y, wanted = called(name, others)(*ours), called(name, others, functional)(*theirs)
    torch.testing.assert_close(y, wanted)
    keeps = layout == "channels last" and y.dim() == 4
    assert y.is_contiguous(memory_format=LAST if keeps else torch.contiguous_format)
    grad = numbers(*y.shape, seed=1)
    y.backward(grad)
    wanted.backward(grad)
    for tensor, other in zip(ours, theirs, strict=True):
        if other.requires_grad:
            torch.testing.assert_close(tensor.grad, other.grad)
    with torch.no_grad():
        torch.testing.assert_close(called(name, others)(*tensors), wanted)


@over_calls
@pytest.mark.parametrize("fast", [True, pytest.param(False, marks=pytest.mark.wide)], ids=["some", "all"])
def test_gradients_of_both_orders(name, tensors, others, fast):
    """In some directions at random, or by each element."""
    function, given = called(name, others), differentiable(tensors)
    assert torch.autograd.gradcheck(function, given, fast_mode=fast, nondet_tol=0)
    assert torch.autograd.gradgradcheck(function, given, fast_mode=True)


@over_calls
def test_values_are_those_of_the_function_without_gradients(name, tensors, others):
    expected = getattr(gpuconv, name)(*[each.numpy() for each in tensors], **others)
    for given in (tensors, differentiable(tensors)):
        np.testing.assert_array_equal(called(name, others)(*given).detach().numpy(), expected)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_complex_gradients(name):
    for tensors, others in CALLS[name].values():
        pairs = [torch.complex(each, each.flip(-1)) for each in tensors]
        ours, theirs = differentiable(pairs), differentiable(pairs)
        y, wanted = called(name, others)(*ours), called(name, others, functional)(*theirs)
        grad = torch.complex(numbers(*y.shape, seed=1), numbers(*y.shape, seed=2))
        y.backward(grad)
        wanted.backward(grad)
        for tensor, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(tensor.grad, other.grad)
        assert torch.autograd.gradgradcheck(called(name, others), ours, fast_mode=True)


def test_a_residual_has_a_gradient():
    x, w, b, residual = differentiable([IMAGE, WEIGHT, BIAS, numbers(2, 6, 3, 5, seed=3)])
    for activation in (None, "silu"):

        def function(x, w, b, residual, activation=activation):
            return gpuconv.torch.conv2d(x, w, b, residual=residual, activation=activation)

        assert torch.autograd.gradcheck(function, [x, w, b, residual])
    sums = functional.conv2d(x, w, b) + residual
    torch.testing.assert_close(function(x, w, b, residual), functional.silu(sums))


@pytest.mark.parametrize("name", ["max_pool2d", "adaptive_max_pool2d"])
def test_indices_are_returned_and_have_no_gradient(name):
    (x,), others = CALLS[name]["plain"]
    x = x.clone().requires_grad_()
    values, indices = called(name, {**others, "return_indices": True})(x)
    expected, places = called(name, {**others, "return_indices": True}, functional)(x)
    assert torch.equal(values, expected) and torch.equal(indices, places)
    assert values.requires_grad and not indices.requires_grad


def test_a_sum_has_a_second_derivative_where_it_is_zero():
    x = torch.tensor([[[[0.0, -1.0, 0.0], [2.0, 3.0, 0.0]]]], dtype=torch.float64)
    for norm_type in (1, 2):
        found = []
        for module in (gpuconv.torch, functional):
            (given,) = differentiable([x])
            norms = module.lp_pool2d(given, norm_type, (2, 1))
            (dx,) = torch.autograd.grad(norms[..., :2].sum(), given, create_graph=True)
            found.append((dx, *torch.autograd.grad(dx.square().sum(), given)))
        torch.testing.assert_close(*found)


def test_a_window_of_padding_alone_passes_no_gradient():
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    y = gpuconv.torch.max_pool2d(x, 3, stride=3, padding=1, dilation=2, ceil_mode=True)
    y.masked_fill(y.isinf(), 0).sum().backward()
    assert x.grad.item() == (y == 1).sum().item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_other_dtypes(dtype):
    x, w = IMAGE.to(dtype).requires_grad_(), WEIGHT.to(dtype).requires_grad_()
    y = gpuconv.torch.conv2d(x, w)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == w.grad.dtype == dtype
    wanted = functional.conv2d(x.double(), w.double())
    torch.testing.assert_close(y, wanted.to(dtype))


def test_only_wanted_gradients_are_computed_and_only_needed_tensors_kept():
    x, w = IMAGE.clone(), WEIGHT.clone().requires_grad_()
    y = gpuconv.torch.conv2d(x, w)
    assert [each.shape for each in y.grad_fn.saved_tensors] == [x.shape]
    y.sum().backward()
    assert x.grad is None and w.grad is not None


def test_results_are_fresh_and_inputs_are_left_alone():
    x = IMAGE.clone().requires_grad_()
    for y in (gpuconv.torch.max_pool2d(x, 1), gpuconv.torch.adaptive_avg_pool2d(x, None)):
        assert torch.equal(y, x) and y.data_ptr() != x.data_ptr()
    assert torch.equal(x, IMAGE)


BAD = {
    "stride": (gpuconv.conv2d, (IMAGE, WEIGHT), {"stride": 1.5}),
    "no stride": (gpuconv.conv2d, (IMAGE, WEIGHT), {"stride": 0}),
    "three strides": (gpuconv.conv2d, (IMAGE, WEIGHT), {"stride": (1, 2, 3)}),
    "flat padding": (gpuconv.conv2d, (IMAGE, WEIGHT), {"padding": (1, 1, 1, 1)}),
    "no padding": (gpuconv.conv2d, (IMAGE, WEIGHT), {"padding": None}),
    "named padding": (gpuconv.conv2d, (IMAGE, WEIGHT), {"padding": "saem"}),
    "groups": (gpuconv.conv2d, (IMAGE, WEIGHT), {"groups": True}),
    "channels": (gpuconv.conv2d, (IMAGE, GROUPED := numbers(6, 2, 3, 3)), {}),
    "dtype": (gpuconv.conv2d, (IMAGE, WEIGHT.float()), {}),
    "axes": (gpuconv.conv2d, (IMAGE[0, 0], WEIGHT), {}),
    "mode": (gpuconv.conv2d, (IMAGE, WEIGHT), {"padding_mode": 3}),
    "activation": (gpuconv.conv2d, (IMAGE, WEIGHT), {"activation": ("relu", 2)}),
    "algorithm": (gpuconv.conv2d, (IMAGE, WEIGHT), {"algorithm": "conv_none"}),
    "precision": (gpuconv.conv2d, (IMAGE, WEIGHT), {"precision": "high"}),
    "flag": (gpuconv.max_pool2d, (IMAGE,), {"kernel_size": 2, "ceil_mode": 1}),
    "indices": (gpuconv.max_pool2d, (IMAGE,), {"kernel_size": 2, "return_indices": "yes"}),
    "no kernel": (gpuconv.avg_pool2d, (IMAGE,), {"kernel_size": None}),
    "pads": (gpuconv.avg_pool2d, (IMAGE,), {"kernel_size": 2, "padding": 2}),
    "divisor": (gpuconv.avg_pool2d, (IMAGE,), {"kernel_size": 2, "divisor_override": 0}),
    "norm": (gpuconv.lp_pool2d, (IMAGE,), {"norm_type": "2", "kernel_size": 2}),
    "great norm": (gpuconv.lp_pool2d, (IMAGE,), {"norm_type": 10**400, "kernel_size": 2}),
    "size": (gpuconv.adaptive_avg_pool2d, (IMAGE,), {"output_size": (2, 2, 2)}),
    "negative size": (gpuconv.adaptive_max_pool2d, (IMAGE,), {"output_size": (None, -1)}),
    "small": (gpuconv.unfold, (IMAGE,), {"kernel_size": 9}),
    "columns": (gpuconv.fold, (numbers(2, 8, 21),), {"output_size": (5, 6), "kernel_size": 2}),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_refused_as_by_the_function_without_gradients(kind):
    function, tensors, others = BAD[kind]
    with pytest.raises((TypeError, ValueError)) as wanted:
        function(*tensors, **others)
    for given in (tensors, differentiable(tensors)):
        with pytest.raises(wanted.type) as error:
            called(function.__name__, others)(*given)
        assert str(error.value) == str(wanted.value)


@pytest.mark.parametrize("wrong", [IMAGE.numpy(), IMAGE.tolist(), 3, None])
def test_what_is_no_tensor_is_refused_by_name(wrong):
    with pytest.raises(TypeError, match=f"input must be a torch.Tensor, got {type(wrong).__name__}"):
        gpuconv.torch.conv2d(wrong, WEIGHT)
    if wrong is not None:
        with pytest.raises(TypeError, match=r"bias must be a torch\.Tensor"):
            gpuconv.torch.conv2d(IMAGE, WEIGHT, wrong)


def test_parameters_of_numpy_are_taken():
    y = gpuconv.torch.conv2d(IMAGE, WEIGHT, stride=np.int64(2), padding=np.array([1, 2]), groups=np.int32(1))
    assert torch.equal(y, gpuconv.torch.conv2d(IMAGE, WEIGHT, None, 2, (1, 2)))


def test_a_deformable_convolution_refuses_gradients():
    x, offset, w = torch.ones(1, 1, 4, 4), torch.zeros(1, 18, 4, 4), torch.ones(1, 1, 3, 3)
    y = gpuconv.torch.deform_conv2d(x, offset, w, padding=1)
    assert torch.equal(y, functional.conv2d(x, w, padding=1))
    with pytest.raises(TypeError, match="deform_conv2d has no gradient yet, and offset requires one"):
        gpuconv.torch.deform_conv2d(x, offset.requires_grad_(), w, padding=1)
    with torch.no_grad():
        assert torch.equal(gpuconv.torch.deform_conv2d(x, offset, w, padding=1), y)


def test_autocast_is_that_of_torch():
    x, w, b = IMAGE.float(), WEIGHT.float().requires_grad_(), BIAS.float()
    with torch.autocast("cpu", torch.bfloat16):
        y, wanted = gpuconv.torch.conv2d(x, w, b), functional.conv2d(x, w, b)
        z = gpuconv.torch.max_pool2d(x, 2)
        double = gpuconv.torch.conv2d(IMAGE, WEIGHT)
        transposed = gpuconv.torch.conv_transpose2d(x, w[:4])
    assert y.dtype == wanted.dtype == transposed.dtype == torch.bfloat16
    assert z.dtype == torch.float32 and double.dtype == torch.float64
    torch.testing.assert_close(y, wanted)
    y.sum().backward()
    assert w.grad.dtype == torch.float32
    assert gpuconv.torch.conv2d(x, w, b).dtype == torch.float32


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_transforms_differentiate_in_autocast(name):
    x, w = numbers(1, 2, 4, 4, dtype=torch.float32), numbers(2, 2, 3, 3, dtype=torch.float32)

    def gradients(module):
        loss = lambda *tensors: getattr(module, name)(*tensors, padding=1).float().square().sum()  # noqa: E731
        with torch.autocast("cpu", torch.bfloat16):
            return torch.func.grad(loss, argnums=(0, 1))(x, w)

    ours = gradients(gpuconv.torch)
    assert [each.dtype for each in ours] == [torch.float32] * 2
    torch.testing.assert_close(ours, gradients(functional), rtol=0.02, atol=0.5)
