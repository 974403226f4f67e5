"""Activations and residuals: every one, in every layout, after convolutions and transposed ones."""

import numpy as np
import pytest

import gpuconv
from gpuconv.algorithm import ANY
from gpuconv.call import understand
from gpuconv.cpu.conv import SUMS
from gpuconv.spec.epilogue import Epilogue, as_epilogue
from tests import reference
from tests.cases import CONV_CASES, DTYPES, TRANSPOSED_CASES, integers, normal
from tests.layouts import READABLE, WRITABLE
from tests.sampling import first_of_each

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


def test_explain_says_where_they_are_applied():
    name, verdict = gpuconv.explain(gpuconv.conv2d, X, W, activation="relu", residual=ADDED)[0]
    assert name == gpuconv.explain(gpuconv.conv2d, X, W)[0][0] != "conv_then_epilogue"
    assert verdict.endswith("; with the residual and relu before a result leaves the cache")
    plain = dict(gpuconv.explain(gpuconv.conv2d, X, W))
    assert plain["conv_then_epilogue"].startswith("unsupported: of epilogue it takes all but")
    assert not any("cache" in verdict for verdict in plain.values())
    transposed = gpuconv.explain(gpuconv.conv_transpose2d, X, W[:4], activation="relu")
    assert transposed[0][0] == "conv_then_epilogue"


NAMES = [each.name for each in SUMS if each.takes.get("epilogue") is ANY]
SHAPES = {  # of x and w, and parameters: what some algorithm is made for, with ends of rows of every length
    "depthwise": ((3, 20, 11, 37), (20, 1, 3, 3), {"padding": 1, "groups": 20}),
    "two images in a vector": ((3, 20, 7, 7), (40, 1, 3, 3), {"padding": 1, "groups": 20}),
    "a stride": ((2, 6, 19, 38), (6, 1, 5, 5), {"padding": 2, "groups": 6, "stride": 2}),
    "dilated": ((2, 3, 17, 300), (3, 1, 3, 3), {"groups": 3, "dilation": 2, "stride": 3}),
    "1x1": ((2, 70, 9, 31), (21, 70, 1, 1), {}),
    "deep": ((1, 300, 5, 17), (9, 300, 1, 1), {}),
    "3x3": ((2, 40, 15, 21), (35, 40, 3, 3), {"padding": 1}),
    "groups": ((5, 8, 6, 6), (12, 4, 3, 3), {"groups": 2}),
}


def in_parts(array):
    """The same in rows that lie farther apart."""
    whole = np.zeros((*array.shape[:3], array.shape[3] + 3), array.dtype)
    whole[..., 1:-2] = array
    return whole[..., 1:-2]


def supported(algorithm, shape):
    """Whether the algorithm takes the problem."""
    x_shape, w_shape, parameters = SHAPES[shape]
    x, w = np.zeros(x_shape, "f4"), np.zeros(w_shape, "f4")
    verdicts = gpuconv.explain(gpuconv.conv2d, x, w, **parameters)
    return not dict(verdicts)[algorithm].startswith("unsupported")


PAIRS = [(shape, name) for shape in SHAPES for name in NAMES if supported(name, shape)]
SAMPLE = set(first_of_each(PAIRS, set))  # each shape, and each algorithm


@pytest.mark.parametrize(
    ("shape", "algorithm"),
    [pytest.param(*each, marks=() if each in SAMPLE else pytest.mark.wide) for each in PAIRS],
)
def test_every_algorithm_and_every_activation(shape, algorithm):
    x_shape, w_shape, parameters = SHAPES[shape]
    x, w, bias = integers(x_shape, "f4"), integers(w_shape, "f4", 1), integers(w_shape[:1], "f4", 2)
    sums = reference.conv2d(x, w, bias, **parameters)
    added = integers(sums.shape, "f4", 3)
    for activation in [None, *ACTIVATIONS]:
        for residual in (None, added, in_parts(added), READABLE["channels last"](added)):
            right = reference.activate(sums if residual is None else sums + added, activation)
            for out in (None, WRITABLE["strided"](np.full(sums.shape, np.nan, "f4"))):
                y = gpuconv.conv2d(
                    x, w, bias, **parameters, activation=activation, residual=residual, out=out,
                    algorithm=algorithm,
                )  # fmt: skip
                assert (np.abs(y - right) <= 1e-6 * (1 + np.abs(right))).all(), (activation, out is None)
                if activation in (None, "relu", "relu6"):
                    np.testing.assert_array_equal(y, right.astype("f4"))


@pytest.mark.parametrize("shape", SHAPES)
def test_any_number_of_threads_gives_the_same(shape):
    x_shape, w_shape, parameters = SHAPES[shape]
    x, w = normal((8, *x_shape[1:]), "f4"), normal(w_shape, "f4", 1)
    added = normal(gpuconv.conv2d(x, w, **parameters).shape, "f4", 2)
    before, results = gpuconv.get_num_threads(), []
    try:
        for threads in (1, 3):
            gpuconv.set_num_threads(threads)
            calls = ({"activation": each, "residual": added} for each in ("relu6", "gelu", "silu"))
            results.append([gpuconv.conv2d(x, w, **parameters, **each) for each in calls])
    finally:
        gpuconv.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("precision", [None, "tf32"])
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_what_winograd_computes_anew(activation, precision):
    x, w = integers((3, 40, 13, 18), "f4"), integers((35, 40, 3, 3), "f4", 1)
    added, bias = integers((3, 35, 13, 18), "f4", 2), integers((35,), "f4", 3)
    x[0, 3, 5, 5], x[1, :, :10] = np.inf, 0  # not finite; windows of zeros in a tile of others
    if precision == "tf32":
        x[2, 1, 2, 3] = 1e8  # beyond the range
    y = gpuconv.conv2d(
        x, w, bias, padding=1, activation=activation, residual=added, precision=precision,
        algorithm="conv_winograd",
    )  # fmt: skip
    with np.errstate(invalid="ignore"):
        sums = reference.conv2d(x, w, bias, padding=1) + added
    right = reference.activate(sums, activation)
    finite = np.isfinite(right)
    np.testing.assert_array_equal(y[~finite], right[~finite])
    assert not finite.all()
    np.testing.assert_allclose(y[finite], right[finite], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(y[1, :, :9], right[1, :, :9], rtol=1e-6)


def test_a_slope_of_negative_zero():
    x = np.full((1, 1, 1, 1), -3, "f4")
    slopes = 0.0, -0.0, 0.0
    y = [gpuconv.conv2d(x, np.ones_like(x), activation=("leaky_relu", slope)) for slope in slopes]
    assert list(np.signbit(y).reshape(-1)) == [True, False, True]


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
    ({"activation": np.maximum}, TypeError, "activation must be None, one of .*got <ufunc"),
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


@pytest.mark.parametrize("slope", [np.float32(0.25), np.float64(0.25), np.float16(0.25)])
def test_a_slope_of_numpy(slope):
    found = gpuconv.conv2d(X, W, activation=("leaky_relu", slope))
    np.testing.assert_array_equal(found, gpuconv.conv2d(X, W, activation=("leaky_relu", 0.25)))


@pytest.mark.parametrize("parameter", [10**400, np.float32(np.inf), np.ones(2), 1j, "0.1", None, True])
@pytest.mark.parametrize("name", ["leaky_relu", "gelu"])
def test_wrong_parameters(name, parameter):
    with pytest.raises((TypeError, ValueError), match=f"activation's parameter of {name} must be"):
        gpuconv.conv2d(X, W, activation=(name, parameter))
