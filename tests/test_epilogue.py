"""Activations and residuals: every one, in every layout, after convolutions and transposed ones."""

import numpy as np
import pytest

import gpuconv
from gpuconv.call import understand
from gpuconv.spec.epilogue import Epilogue, as_epilogue
from tests import reference
from tests.cases import CONV_CASES, DTYPES, TRANSPOSED_CASES, integers, normal
from tests.layouts import READABLE, WRITABLE

ACTIVATIONS = [
    "relu", "relu6", "leaky_relu", ("leaky_relu", 0.3), ("leaky_relu", -2), "sigmoid", "tanh", "gelu",
    ("gelu", "none"), ("gelu", "tanh"), "silu", "hardswish",
]  # fmt: skip
SMOOTH = ("sigmoid", "tanh", "gelu", "silu", "hardswish")
X, W, BIAS = integers((2, 4, 7, 9), "f4"), integers((6, 4, 3, 3), "f4", 1), integers((6,), "f4", 2)
ADDED = integers((2, 6, 5, 7), "f4", 3)

over_activations = pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
over_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def expected(activation, residual=None, x=X, w=W, bias=BIAS):
    sums = reference.conv2d(x, w, bias)
    return reference.activate(sums if residual is None else sums + residual, activation)


@over_activations
@over_dtypes
@pytest.mark.parametrize("residual", [None, ADDED], ids=["alone", "residual"])
def test_results_are_activated_once(activation, residual, dtype):
    x, w, bias = (array.astype(dtype) / 4 for array in (X, W, BIAS))
    added = None if residual is None else residual.astype(dtype)
    y = gpuconv.conv2d(x, w, bias, activation=activation, residual=added)
    right = expected(activation, added, x, w, bias)
    name = activation if isinstance(activation, str) else activation[0]
    if name in SMOOTH or isinstance(activation, tuple):
        eps = np.finfo(dtype).eps
        assert (np.abs(y - right) <= 8 * eps * (1 + np.abs(right))).all() and y.dtype == dtype
    else:
        np.testing.assert_allclose(y, right, rtol=np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("case", CONV_CASES, ids=str)
def test_every_convolution_takes_them(case):
    x, w, bias = case.arrays("float32", integers)
    right = case.expected(x, w, bias)
    residual = integers(right.shape, "f4", 4)
    y = gpuconv.conv2d(x, w, bias, **case.parameters, activation="relu", residual=residual)
    np.testing.assert_array_equal(y, np.maximum(right + residual, 0).astype("f4"), strict=True)


@pytest.mark.parametrize("case", TRANSPOSED_CASES, ids=str)
def test_every_transposed_convolution_takes_them(case):
    x, w, bias = case.arrays("float32", integers)
    right = case.expected(x, w, bias)
    residual = integers(right.shape, "f4", 4)
    y = gpuconv.conv_transpose2d(x, w, bias, **case.parameters, activation="relu6", residual=residual)
    np.testing.assert_array_equal(y, np.clip(right + residual, 0, 6).astype("f4"), strict=True)


@pytest.mark.parametrize("layout", READABLE)
def test_a_residual_of_every_layout(layout):
    y = gpuconv.conv2d(X, W, BIAS, activation="relu", residual=READABLE[layout](ADDED))
    np.testing.assert_array_equal(y, expected("relu", ADDED).astype("f4"), strict=True)


@pytest.mark.parametrize("layout", WRITABLE)
@pytest.mark.parametrize("residual", [None, ADDED], ids=["alone", "residual"])
def test_an_output_of_every_layout(layout, residual):
    out = WRITABLE[layout](np.full(ADDED.shape, np.nan, "f4"))
    assert gpuconv.conv2d(X, W, BIAS, activation="relu", residual=residual, out=out) is out
    np.testing.assert_array_equal(out, expected("relu", residual).astype("f4"))


def test_one_image_is_unbatched_and_so_is_its_residual():
    y = gpuconv.conv2d(X[0], W, BIAS, activation="relu", residual=ADDED[0])
    np.testing.assert_array_equal(y, expected("relu", ADDED)[0].astype("f4"), strict=True)


def test_the_same_call_with_and_without():
    for activation, residual in [(None, None), ("relu", None), (None, ADDED), ("relu", ADDED)] * 2:
        y = gpuconv.conv2d(X, W, BIAS, activation=activation, residual=residual)
        np.testing.assert_array_equal(y, expected(activation, residual).astype("f4"))


@over_activations
def test_values_that_are_not_finite_do_what_they_do_in_torch(activation):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    name, parameter = activation if isinstance(activation, tuple) else (activation, None)
    options = {"leaky_relu": {"negative_slope": parameter}, "gelu": {"approximate": parameter}}.get(name, {})
    values = np.array([np.nan, np.inf, -np.inf, 0, -100, 100, -3, 3, 1e30], "f8").reshape(1, 1, 3, 3)
    y = gpuconv.conv2d(values, np.ones((1, 1, 1, 1)), activation=activation)
    given = {key: value for key, value in options.items() if value is not None}
    theirs = getattr(functional, name)(torch.from_numpy(values), **given).numpy()
    np.testing.assert_allclose(y, theirs, rtol=1e-14, atol=1e-14)


def test_explain_says_that_they_come_after():
    verdicts = gpuconv.explain(gpuconv.conv2d, X, W, activation="relu")
    assert verdicts[0][0] == "conv_then_epilogue"
    assert all(verdict.startswith("unsupported: of ") for _, verdict in verdicts[1:])
    plain = dict(gpuconv.explain(gpuconv.conv2d, X, W))
    assert plain["conv_then_epilogue"].startswith("unsupported: of epilogue it takes all but")


def test_an_activation_with_a_parameter_is_learned_once():
    first, second = (gpuconv.conv2d(X, W, activation=("leaky_relu", slope)) for slope in (0.25, 0.5))
    assert not np.array_equal(first, second)
    with pytest.raises(TypeError, match="activation's parameter"):
        gpuconv.conv2d(X, W, activation=("leaky_relu", True))
    gpuconv.conv2d(X, W, activation=("leaky_relu", 1))
    with pytest.raises(TypeError, match="activation's parameter"):
        gpuconv.conv2d(X, W, activation=("leaky_relu", True))


@pytest.mark.parametrize(
    ("activation", "epilogue"),
    [
        (None, Epilogue()),
        ("relu", Epilogue(activation="relu")),
        ("leaky_relu", Epilogue(False, "leaky_relu", 0.01)),
        (["leaky_relu", 2], Epilogue(False, "leaky_relu", 2.0)),
        ("gelu", Epilogue(False, "gelu")),
        (("gelu", "tanh"), Epilogue(False, "gelu_tanh")),
    ],
    ids=str,
)
def test_what_an_epilogue_is(activation, epilogue):
    assert as_epilogue(activation, False) == epilogue
    assert understand(gpuconv.conv2d, X, W, activation=activation).spec.epilogue == epilogue


WRONG = [
    ({"activation": "ReLU"}, ValueError, "got 'ReLU'; did you mean 'relu'"),
    ({"activation": "gelu_tanh"}, ValueError, "activation must be None, one of"),
    ({"activation": ""}, ValueError, "activation must be None, one of"),
    ({"activation": 3}, TypeError, "activation must be None, one of .*got 3"),
    ({"activation": np.maximum}, TypeError, "activation must be None, one of .*got ufunc"),
    ({"activation": ("relu", 1)}, ValueError, "activation relu has no parameter"),
    ({"activation": ("relu", None)}, ValueError, "activation relu has no parameter"),
    ({"activation": ("leaky_relu",)}, ValueError, "activation must be"),
    ({"activation": ("leaky_relu", "0.1")}, TypeError, "parameter of leaky_relu must be a number"),
    ({"activation": ("leaky_relu", np.inf)}, ValueError, "parameter of leaky_relu must be finite"),
    ({"activation": ("gelu", "exact")}, ValueError, "parameter of gelu must be 'none' or 'tanh'"),
    ({"activation": (None, 1)}, TypeError, "activation must be"),
    ({"residual": ADDED[0]}, ValueError, r"residual must have the result's shape \(2, 6, 5, 7\)"),
    ({"residual": ADDED[:, :, :1]}, ValueError, "residual must have the result's shape"),
    ({"residual": ADDED.astype("f8")}, TypeError, "residual must have the input's dtype float32"),
    ({"residual": 1.0}, TypeError, "residual must be an array"),
    ({"residual": np.float32(1)}, TypeError, "residual must be an array"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_arguments(wrong, error, message):
    out = np.full(ADDED.shape, 7, "f4")
    with pytest.raises(error, match=message):
        gpuconv.conv2d(X, W, **wrong, out=out)
    assert (out == 7).all()


def test_a_residual_may_not_overlap_the_output():
    both = np.zeros(ADDED.shape, "f4")
    with pytest.raises(ValueError, match="out overlaps residual in memory"):
        gpuconv.conv2d(X, W, residual=both, out=both)


def test_torch_and_its_three_calls():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x, w, bias, residual = (
        torch.from_numpy(normal(shape, "float32", seed))
        for seed, shape in enumerate([(2, 40, 9, 9), (48, 40, 3, 3), (48,), (2, 48, 9, 9)])
    )
    ours = gpuconv.conv2d(x, w, bias, padding=1, activation="relu", residual=residual)
    theirs = functional.relu(functional.conv2d(x, w, bias, padding=1) + residual)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
