"""A plan computes what `conv2d` computes, and refuses what it was not made for."""

import inspect
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gpuconv
from gpuconv import precision
from tests.cases import integers

X, W, BIAS = integers((2, 6, 9, 7), "float32"), integers((4, 3, 3, 3), "float32", 1), np.ones(4, np.float32)
PARAMETERS = {"stride": (2, 1), "padding": "same", "dilation": 2, "groups": 2}


@pytest.fixture
def plan():
    return gpuconv.plan_conv2d(X, W, BIAS, **PARAMETERS)


def test_a_plan_is_made_with_the_arguments_of_conv2d():
    names = [list(inspect.signature(f).parameters) for f in (gpuconv.plan_conv2d, gpuconv.conv2d)]
    assert names[0] == names[1]


@pytest.mark.parametrize("bias", [BIAS, None])
def test_it_computes_what_conv2d_computes(plan, bias):
    expected = gpuconv.conv2d(X, W, bias, **PARAMETERS)
    np.testing.assert_array_equal(plan(X, W, bias), expected, strict=True)
    out = np.full_like(expected, np.nan)
    assert plan(X, W, bias, out=out) is out
    np.testing.assert_array_equal(out, expected)


def test_arrays_may_lie_otherwise_in_memory(plan):
    expected = gpuconv.conv2d(X, W, BIAS, **PARAMETERS)
    mirrored = np.ascontiguousarray(X[..., ::-1])[..., ::-1]
    for x in (mirrored, np.asfortranarray(X), X.astype(">f4").astype("<f4")):
        np.testing.assert_array_equal(plan(x, W, BIAS), expected)
    out = np.asfortranarray(np.full_like(expected, np.nan))
    np.testing.assert_array_equal(plan(X, W, BIAS, out=out), expected)


def test_an_unbatched_image_and_other_values():
    plan = gpuconv.plan_conv2d(X[0], W, **PARAMETERS)
    np.testing.assert_array_equal(plan(X[1], -W), gpuconv.conv2d(X[1], -W, **PARAMETERS), strict=True)


def test_the_algorithm_is_that_of_the_call_or_the_one_named(plan):
    assert plan.algorithm == gpuconv.explain(gpuconv.conv2d, X, W, BIAS, **PARAMETERS)[0][0]
    assert gpuconv.plan_conv2d(X, W, groups=2, algorithm="conv_direct").algorithm == "conv_direct"
    with pytest.raises(ValueError, match="algorithm must be None or one of"):
        gpuconv.plan_conv2d(X, W, groups=2, algorithm="winograd")
    assert plan.algorithm in repr(plan) and "K=4" in repr(plan)


def test_it_says_what_it_would_do_now(monkeypatch):
    monkeypatch.setattr(precision, "default", None)
    x, w = integers((1, 64, 20, 20), "float32"), integers((64, 64, 3, 3), "float32")
    plan = gpuconv.plan_conv2d(x, w)
    assert (plan.algorithm, plan.spec.precision) == ("conv_winograd", None)
    gpuconv.set_precision("ieee")
    assert (plan.algorithm, plan.spec.precision) != ("conv_winograd", None)
    assert plan.algorithm == gpuconv.explain(gpuconv.conv2d, x, w)[0][0]
    plan(x, w)
    assert plan.algorithm in repr(plan) and "ieee" in repr(plan)


WRONG = {
    "another batch": ((X[:1], W), ValueError, r"input must be float32 of shape \(2, 6, 9, 7\), as planned"),
    "unbatched": ((X[0], W), ValueError, r"got float32 of shape \(6, 9, 7\)"),
    "another kernel": ((X, W[..., :2]), ValueError, r"weight must be float32 of shape \(4, 3, 3, 3\)"),
    "another dtype": (
        (X.astype("float64"), W),
        ValueError,
        r"input must be float32 .*; got float64 of shape",
    ),
    "bias of another dtype": ((X, W, BIAS.astype("float64")), TypeError, "bias must have the input's dtype"),
    "too short a bias": ((X, W, BIAS[:3]), ValueError, r"bias must have shape \(4,\)"),
    "a list": ((X, W.tolist()), TypeError, "weight must be an array"),
    "a residual": ((X, W, None, X), ValueError, r"residual must have the result's shape \(2, 4, 5, 7\)"),
    "out too small": ((X, W, None, None, X), ValueError, "out must have the result's shape"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_was_not_planned_is_refused(plan, case):
    arguments, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        plan(*arguments)
    np.testing.assert_array_equal(plan(X, W), gpuconv.conv2d(X, W, **PARAMETERS))


def test_out_that_overlaps_an_input(plan):
    both = np.zeros((2, 6, 9, 7), np.float32)
    out = both.reshape(-1)[: 2 * 4 * 5 * 7].reshape(2, 4, 5, 7)
    with pytest.raises(ValueError, match="out overlaps input in memory"):
        plan(both, W, out=out)


def test_errors_of_the_plan_are_those_of_the_call():
    with pytest.raises(ValueError, match="groups=4 must divide"):
        gpuconv.plan_conv2d(X, W, groups=4)
    with pytest.raises(ValueError, match=r"activation must be .*'ReLU'; did you mean 'relu'"):
        gpuconv.plan_conv2d(X, W, groups=2, activation="ReLU")


def test_a_residual_may_come_and_go():
    residual = integers((2, 4, 5, 7), "float32", 4)
    plan = gpuconv.plan_conv2d(X, W, **PARAMETERS, activation="relu")
    for added in (None, residual, None):
        np.testing.assert_array_equal(
            plan(X, W, None, added), gpuconv.conv2d(X, W, **PARAMETERS, activation="relu", residual=added)
        )


def test_several_threads_may_call_one_plan(plan):
    inputs = [X, np.asfortranarray(X), -X, X[..., ::-1]] * 8
    expected = [gpuconv.conv2d(x, W, **PARAMETERS) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for got, wanted in zip(pool.map(lambda x: plan(x, W), inputs), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
