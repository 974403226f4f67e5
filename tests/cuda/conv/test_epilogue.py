"""Activations and residuals on the executor: each, of every dtype, with any strides; planted faults."""

import ml_dtypes
import numpy as np
import pytest

import gpuconv
from gpuconv.cuda import conv, conv_grad
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec import ConvSpec, of_transposed
from tests import reference
from tests.cases import BFLOAT16, CONV_CASES, TRANSPOSED_CASES, ConvCase, integers, normal
from tests.cuda.execution import compute, contiguous, poisoned
from tests.cuda.mutation import BEYOND, MISALIGNED, UNSET, WRONG, changed_room, verdict
from tests.layouts import WRITABLE
from tests.sampling import few

ALGORITHM = next(each for each in conv.ALGORITHMS if each.name == "conv_then_epilogue")
ACTIVATIONS = [
    "relu", None, ("leaky_relu", 0.3), "relu6", "sigmoid", "tanh", "gelu", ("gelu", "tanh"), "silu",
    "hardswish",
]  # fmt: skip
CASE = ConvCase("padded", (2, 3, 5, 7), (4, 3, 3, 3), padding=1, bias=True)
HALVES = np.dtype("float16"), BFLOAT16
ADDED = integers((2, 4, 5, 7), "float64", 3)


def run(activation, residual, dtype="float32", algorithm=ALGORITHM, layout="contiguous", scale=2, **options):
    """(y, what it should be)."""
    x, w, bias = CASE.arrays(dtype, integers)
    if scale != 1:
        x, w, bias = ((array / scale).astype(dtype) for array in (x, w, bias))
    added = () if residual is None else (WRITABLE[layout](residual.astype(bias.dtype)),)
    given = {"activation": activation, "residual": added[0] if added else None, **options}
    spec = ConvSpec.from_arrays(x, w, bias, **CASE.parameters, **given)
    y = WRITABLE[layout](poisoned(spec.out_shape, spec.result.numpy))
    compute(algorithm, spec, (x, w, bias, *added), (y,))
    sums = reference.conv2d(x, w, bias, **CASE.parameters, **options)
    return y, reference.activate(sums + added[0].astype(sums.dtype) if added else sums, activation)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.wide)])
def test_results_are_activated(activation, dtype):
    residual = ADDED if activation in (None, "relu", "silu") else None
    y, right = run(activation, residual, dtype)
    assert (np.abs(y - right) <= 8 * np.finfo(dtype).eps * (1 + np.abs(right))).all()


@pytest.mark.parametrize("layout", ["reversed", "channels last", "strided"])
def test_arrays_of_any_strides(layout):
    y, right = run("relu", ADDED, layout=layout)
    np.testing.assert_array_equal(y, right.astype("f4"))


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("activation", ACTIVATIONS[::3], ids=str)
@pytest.mark.parametrize("dtype", few(HALVES, 1), ids=str)
def test_sums_of_16_bits_are_activated_in_float32_and_rounded_once(activation, dtype):
    y, right = run(activation, ADDED / 3, dtype)
    within = ml_dtypes.finfo(dtype).eps / 2 + 8 * np.finfo("f4").eps
    assert (np.abs(y.astype("f8") - right) <= float(within) * np.abs(right) + 1e-6).all()


@pytest.mark.wide
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_the_cpu_gives_the_same_but_for_a_few_roundings(dtype):
    x, w, bias = CASE.arrays(dtype, normal)
    residual = normal(ADDED.shape, dtype, 4)
    options = {**CASE.parameters, "activation": "silu", "residual": residual}
    on_cpu = gpuconv.conv2d(x, w, bias, **options)
    y = poisoned(on_cpu.shape, dtype)
    compute(ALGORITHM, ConvSpec.from_arrays(x, w, bias, **options), (x, w, bias, residual), (y,))
    assert (y == on_cpu).mean() > 0.99
    within = float(ml_dtypes.finfo(dtype).eps)
    np.testing.assert_allclose(y.astype("f8"), on_cpu.astype("f8"), rtol=within, atol=1e-6)


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("dtype", few(HALVES, 1), ids=str)
def test_a_sum_is_rounded_behind_the_residual(dtype):
    """2048 + 1 is no number of 16 bits, and 2048 + 1 - 2048 is."""
    x, w = np.array([2048, 1], dtype).reshape(1, 2, 1, 1), np.ones((1, 2, 1, 1), dtype)
    residual, y = np.full((1, 1, 1, 1), -2048, dtype), poisoned((1, 1, 1, 1), dtype)
    compute(ALGORITHM, ConvSpec.from_arrays(x, w, residual=residual), (x, w, None, residual), (y,))
    assert y.item() == 1


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("dtype", few(["int8", "complex64", "complex128", "uint8"], 1))
@pytest.mark.parametrize("layout", few(["strided", "contiguous", "reversed"], 1))
def test_residuals_of_complex_numbers_and_integers(dtype, layout):
    y, right = run(None, ADDED, dtype, layout=layout, scale=1)
    np.testing.assert_array_equal(y, right.astype(y.dtype))


@pytest.mark.wide  # seconds of the compiler
def test_an_integer_beyond_int32_is_left_modulo_2_to_the_32():
    x, w = np.full((1, 1, 1, 2), 100, "i1"), np.full((1, 1, 1, 1), 100, "i1")
    residual, y = np.full(x.shape, 2**31 - 1, "i4"), poisoned(x.shape, "i4")
    spec = ConvSpec.from_arrays(x, w, residual=residual)
    compute(ALGORITHM, spec, (x, w, None, residual), (y,))
    assert (y == 10_000 - 2**31 - 1).all()


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("dtype", few(HALVES, 1), ids=str)
def test_sums_that_fit_into_a_workspace(dtype, monkeypatch):
    """Of one image they are 560 bytes, of a plane 140, of which one at least is computed at a time."""
    for limit, steps in ((10_000, 2), (560, 4), (300, 8), (0, 16)):
        monkeypatch.setattr(conv.epilogue, "workspace_limit", lambda limit=limit: limit)
        y, right = run("relu", ADDED, dtype, layout="strided")
        np.testing.assert_array_equal(y, right.astype(dtype))
        spec = ConvSpec.from_arrays(
            np.ones(CASE.x, dtype), np.ones(CASE.w, dtype), padding=1, activation="relu"
        )
        assert len(ALGORITHM.plan(spec, contiguous(spec), H200).steps) == steps


@pytest.mark.parametrize("limit", [500, 0])
def test_groups_are_whole_in_pieces(limit, monkeypatch):
    monkeypatch.setattr(conv.epilogue, "workspace_limit", lambda: limit)
    (case,) = (each for each in CONV_CASES if each.name == "groups")
    x, w, bias = case.arrays("float16", integers)
    spec = ConvSpec.from_arrays(x, w, bias, **case.parameters, activation="relu")
    y = poisoned(spec.out_shape, "float16")
    compute(ALGORITHM, spec, (x, w, bias), (y,))
    np.testing.assert_array_equal(y, np.maximum(case.expected(x, w, bias), 0).astype("float16"))


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("dtype", few(["float16", "complex64", "bfloat16", "int8"], 1))
def test_behind_a_padding_mode(dtype):
    activation = None if dtype in ("complex64", "int8") else "relu"
    y, right = run(activation, ADDED, dtype, scale=1, padding_mode="reflect")
    np.testing.assert_array_equal(y, right.astype(y.dtype))


@pytest.mark.parametrize("dtype", few(["float16", "complex64", "bfloat16", "uint8", "float64"], 1))
@pytest.mark.parametrize("name", ["U-Net's 2x2 at stride 2", "groups"])
@pytest.mark.parametrize("limit", [64 << 20, 0])
def test_behind_transposed_convolutions(name, dtype, limit, monkeypatch):
    monkeypatch.setattr(conv.epilogue, "workspace_limit", lambda: limit)
    (case,) = (each for each in TRANSPOSED_CASES if each.name == name)
    x, w, bias = case.arrays(dtype, integers)
    activation = None if dtype in ("complex64", "uint8") else "relu"
    right = case.expected(x, w, bias)
    residual = integers(right.shape, bias.dtype, 4)
    spec = of_transposed(x, w, bias, **case.parameters, activation=activation, residual=residual)
    y = poisoned(spec.out_shape, spec.result.numpy)
    algorithm = next(each for each in conv_grad.ALGORITHMS if each.name == "conv_then_epilogue")
    compute(algorithm, spec, (x, w, bias, residual), (y,))
    np.testing.assert_array_equal(y, reference.activate(right + residual, activation).astype(y.dtype))


FAULTS = [
    ("what is not positive stays", "result = zero if value <= zero", "result = value if value <= zero"),
    ("sums of another row", "int64(p) * sums_p", "int64(q) * sums_p"),
    ("a residual of the wrong row", "int64(p) * residual_p", "int64(q) * residual_p"),
    ("a residual that is left out", "wide(value + widen(residual[place]))", "wide(value)"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_planted_faults_are_caught(fault):
    _, old, new = fault
    room = changed_room("conv", "conv.epilogue", old, new)
    (algorithm,) = (each for each in room.ALGORITHMS if each.name == "conv_then_epilogue")
    assert verdict(lambda: run("relu", ADDED, algorithm=algorithm)) in (WRONG, BEYOND)


OF_HALVES = [
    ("epilogue", "a result that is not rounded", "narrow(activate(", "int32(activate("),
    ("epilogue", "a residual that is not widened", "widen(residual[place])", "scalar(residual[place])"),
    ("pieces", "the first images again", "(RESULTS, (images.start,", "(RESULTS, (0,"),
    ("pieces", "the weights of other outputs", '"w": (first, 0)', '"w": (0, 0)'),
    ("pieces", "the bias of other outputs", '"bias": (outputs.start,)', '"bias": (0,)'),
    ("operands", "a bias of another dtype", "bias=self.bias", "bias=self.y"),
    (
        "tiled.kernel",
        "a bias that is widened as a sum",
        "make_store(operands.bias,",
        "make_store(operands.y,",
    ),
]


@pytest.mark.parametrize("fault", OF_HALVES, ids=lambda fault: fault[1])
def test_planted_faults_are_caught_of_16_bits(fault, monkeypatch):
    module, _, old, new = fault
    room = changed_room("conv", f"conv.{module}", old, new)
    monkeypatch.setattr(room.epilogue, "workspace_limit", lambda: 0)
    (algorithm,) = (each for each in room.ALGORITHMS if each.name == "conv_then_epilogue")

    assert verdict(lambda: run("relu", ADDED, "float16", algorithm)) in (WRONG, BEYOND, UNSET, MISALIGNED)
