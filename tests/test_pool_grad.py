"""The gradients of pools, and pools of maxima turned round, on the CPU."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given

import gpuconv
from gpuconv import cpu
from gpuconv.algorithm import refusal
from gpuconv.call import make, understand
from gpuconv.operators import (
    ADAPTIVE_AVG_POOL2D_GRADIENT,
    AVG_POOL2D_GRADIENT,
    LP_POOL2D_GRADIENT,
    MAX_POOL2D_GRADIENT,
    MAX_UNPOOL2D,
)
from tests import reference
from tests.cases import DTYPES, POOL_CASES, POOL_DTYPES, equal, integers, normal
from tests.layouts import READABLE, WRITABLE
from tests.test_pool2d import geometries

MAX_CASES = [case for case in POOL_CASES if case.op == "max"]
AVG_CASES = [case for case in POOL_CASES if case.op == "avg"]
SHARES = {algorithm.name: algorithm for algorithm in cpu.ALGORITHMS["pool_grad"]}
ADAPTIVE = (
    ((2, 3, 7, 9), (3, 4)), ((1, 2, 5, 6), (5, 6)), ((2, 2, 6, 8), (3, 2)), ((1, 3, 4, 3), (1, 1)),
    ((1, 2, 3, 4), (7, 9)), ((1, 1, 150, 40), (7, 3)), ((0, 2, 4, 4), (2, 3)), ((1, 2, 130, 130), (2, 1)),
)  # fmt: skip
X = integers((2, 3, 8, 9), "float32")
Y, INDICES = gpuconv.max_pool2d(X, 3, 2, 1, return_indices=True)
DY = integers(Y.shape, "float32", 1)


def maxima(case, dtype="float32"):
    """(dy, indices) of a case of maxima."""
    values, indices = reference.max_pool2d(integers(case.x, dtype), **case.parameters)
    return integers(values.shape, dtype, 1), indices


def means(case, dtype, maker=integers):
    """(dy, windows) of a case of means: of integers each share is one."""
    windows = [*reference.mean_windows(case.x[2:], **case.parameters)]
    dy = maker((*case.x[:2], *case.spec().out_shape[2:]), "float64", 1)
    if maker is integers:
        for (p, q), _, divisor in windows:
            dy[:, :, p, q] *= divisor
    return dy.astype(dtype), windows


# The gradient of maxima


@pytest.mark.parametrize("case", MAX_CASES, ids=str)
@pytest.mark.parametrize("dtype", POOL_DTYPES)
def test_each_gradient_goes_where_its_maximum_was(case, dtype):
    dy, indices = maxima(case, dtype)
    expected = reference.scattered(dy, indices, case.x[2:], "sum").astype(dtype)
    equal(gpuconv.grad.max_pool2d(dy, indices, case.x, **case.parameters), expected)
    equal(gpuconv.grad.max_pool2d(dy, indices, case.x), expected)


@given(geometries())
def test_any_geometry_of_windows(case):
    dy = integers(case.spec().out_shape, "float32", 1)
    if case.op == "avg":
        windows = [*reference.mean_windows(case.x[2:], **case.parameters)]
        for (p, q), _, divisor in windows:
            dy[:, :, p, q] *= divisor
        expected = reference.handed_on(dy, case.x, windows)
        dx = gpuconv.grad.avg_pool2d(dy, case.x, **case.parameters)
    else:
        dy, indices = maxima(case)
        expected = reference.scattered(dy, indices, case.x[2:], "sum")
        dx = gpuconv.grad.max_pool2d(dy, indices, case.x, **case.parameters)
    np.testing.assert_array_equal(dx, expected.astype("float32"), strict=True)


def test_an_index_beyond_the_rows_of_its_window_passes_no_gradient():
    dy = np.array([[[[1.0], [10.0], [100.0]]]])
    for index, expected in ((0, 1), (1, 1), (2, 0), (5, 0)):
        indices = np.array([[[[index], [-1], [5]]]])
        dx = gpuconv.grad.max_pool2d(dy, indices, (1, 1, 6, 1), (2, 1))
        assert dx.flat[index] == expected + 100 * (index == 5) and dx.sum() == expected + 100
        assert gpuconv.grad.max_pool2d(dy, indices, (1, 1, 6, 1)).flat[index] == 1 + 100 * (index == 5)


@pytest.mark.parametrize("combine", ["sum", "last"])
def test_values_of_one_place_count_in_their_order(combine):
    x = normal((2, 3, 40, 50), "float32")
    indices = np.random.default_rng(3).integers(-1, 40, x.shape)
    if combine == "last":
        y = gpuconv.max_unpool2d(x, indices, 1)
    else:
        y = gpuconv.grad.max_pool2d(x, indices, x.shape)
    expected = np.zeros_like(x).reshape(2, 3, -1)
    for place in np.ndindex(x.shape):
        if indices[place] >= 0:
            plane = expected[place[:2]]
            plane[indices[place]] = x[place] + (plane[indices[place]] if combine == "sum" else 0)
    assert y.tobytes() == expected.tobytes()


def test_a_plane_larger_than_the_workspace(threads):
    dy, indices = (
        normal((1, 2, 30, 40), "float32"),
        np.random.default_rng(3).integers(0, 5000, (1, 2, 30, 40)),
    )
    expected = gpuconv.grad.max_pool2d(dy, indices, (1, 2, 50, 100))
    try:
        gpuconv.set_workspace_limit(3000)  # 7 rows
        found = gpuconv.grad.max_pool2d(dy, indices, (1, 2, 50, 100))
    finally:
        gpuconv.set_workspace_limit(64 << 20)
    assert found.tobytes() == expected.tobytes()


# Of means


def taken(case):
    """The algorithms that take a case of means."""
    dy, _ = means(case, "float32")
    call = understand(gpuconv.grad.avg_pool2d, dy, case.x, **case.parameters)
    names = [n for n, each in SHARES.items() if refusal(each, call.spec, call.layouts, call.device) is None]
    return [pytest.param(case, name, id=f"{case}-{name}") for name in names]


def shared(case, dy, algorithm=None, out=None):
    parameters = {"count_include_pad": True, "divisor_override": None, **case.parameters}
    ordered = (parameters[name] for name in AVG_POOL2D_GRADIENT.parameters[1:])
    return make(AVG_POOL2D_GRADIENT, (dy, out), (case.x, *ordered), algorithm)


over_taken = pytest.mark.parametrize(
    ("case", "algorithm"), [each for case in AVG_CASES for each in taken(case)]
)


@over_taken
@pytest.mark.parametrize("dtype", DTYPES)
def test_shares_that_are_integers_are_exact(case, algorithm, dtype):
    dy, windows = means(case, dtype)
    equal(shared(case, dy, algorithm), reference.handed_on(dy, case.x, windows).astype(dtype))


@over_taken
def test_rounding_errors_stay_within_the_bound(case, algorithm):
    dy, windows = means(case, "float32", normal)
    error = np.abs(shared(case, dy, algorithm) - reference.handed_on(dy, case.x, windows))
    magnitudes = reference.handed_on(abs(dy), case.x, [(at, taps, abs(d)) for at, taps, d in windows])
    assert (error <= 8 * np.finfo("float32").eps * magnitudes).all()


@pytest.mark.parametrize("case", AVG_CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bits_are_added_up_in_float32_and_rounded_once(case, dtype):
    dy, _ = means(case, dtype, normal)
    expected = gpuconv.grad.avg_pool2d(dy.astype("float32"), case.x, **case.parameters)
    equal(gpuconv.grad.avg_pool2d(dy, case.x, **case.parameters), expected.astype(dtype))


def test_long_sums_stay_exact_enough():
    dy = np.full((1, 1, 301, 301), 0.1, np.float32)
    dx = gpuconv.grad.avg_pool2d(dy, (1, 1, 600, 600), 300, 1, divisor_override=1)
    exact = 300 * 300 * float(np.float32(0.1))
    assert abs(dx[0, 0, 299, 299] - exact) <= 30 * np.finfo("float32").eps * exact


@pytest.mark.parametrize(("size", "outputs"), ADAPTIVE, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_adaptive_windows_share_a_plane_out(size, outputs, dtype):
    windows = [*reference.adaptive_windows(size[2:], outputs)]
    dy = integers((*size[:2], *outputs), dtype, 1)
    for (p, q), _, divisor in windows:
        dy[:, :, p, q] *= divisor
    equal(gpuconv.grad.adaptive_avg_pool2d(dy, size), reference.handed_on(dy, size, windows).astype(dtype))


def test_16_bits_of_adaptive_windows():
    dy = normal((2, 3, 4, 5), ml_dtypes.bfloat16)
    dx = gpuconv.grad.adaptive_avg_pool2d(dy, (2, 3, 9, 7))
    equal(dx, gpuconv.grad.adaptive_avg_pool2d(dy.astype("f4"), (2, 3, 9, 7)).astype(dy.dtype))


# What a gradient is


@given(geometries())
def test_a_gradient_of_means_is_the_adjoint(case):
    if case.op == "avg":
        x, dy = normal(case.x, "float64"), normal(case.spec().out_shape, "float64", 1)
        y = gpuconv.avg_pool2d(x, **case.parameters)
        dx = gpuconv.grad.avg_pool2d(dy, case.x, **case.parameters)
        assert abs((y * dy).sum() - (x * dx).sum()) <= 1e-12 * (1 + (abs(x) * abs(dx)).sum())


def test_gradients_are_those_of_finite_differences():
    x = np.random.default_rng(1).permutation(2.0 * np.arange(2 * 5 * 6)).reshape(1, 2, 5, 6)  # no two alike
    where = {"kernel_size": (3, 2), "stride": (2, 1), "padding": ((1, 0), (0, 1))}
    y, indices = gpuconv.max_pool2d(x, **where, return_indices=True)
    dy = normal(y.shape, "float64", 1)
    pools = (
        (gpuconv.max_pool2d, gpuconv.grad.max_pool2d(dy, indices, x.shape, **where)),
        (gpuconv.avg_pool2d, gpuconv.grad.avg_pool2d(dy, x.shape, **where)),
    )
    for pool, dx in pools:
        for place in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[place] = 0.5
            up, down = (pool(x + sign * step, **where) for sign in (1, -1))
            assert abs(((up - down) * dy).sum() - dx[place]) < 1e-12


def test_gradients_are_those_of_torch():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x = torch.from_numpy(integers((2, 3, 11, 13), "float64")).requires_grad_()
    dy = integers((2, 3, 6, 5), "float64", 1)
    y, indices = F.max_pool2d(x, (2, 3), (2, 3), 1, ceil_mode=True, return_indices=True)
    (dx,) = torch.autograd.grad(y, x, torch.from_numpy(dy))
    found = gpuconv.grad.max_pool2d(torch.from_numpy(dy), indices, x.shape, (2, 3), (2, 3), 1, ceil_mode=True)
    assert type(found) is torch.Tensor and (found == dx).all()
    for include in (True, False):
        y = F.avg_pool2d(x, (2, 3), (2, 3), 1, ceil_mode=True, count_include_pad=include)
        (dx,) = torch.autograd.grad(y, x, torch.from_numpy(dy))
        found = gpuconv.grad.avg_pool2d(dy, x.shape, (2, 3), (2, 3), 1, True, include)
        np.testing.assert_allclose(found, dx, rtol=1e-14)
    y, indices = F.adaptive_max_pool2d(x, (6, 5), return_indices=True)
    (dx,) = torch.autograd.grad(y, x, torch.from_numpy(dy))
    np.testing.assert_array_equal(gpuconv.grad.max_pool2d(dy, indices.numpy(), x.shape), dx)
    (dx,) = torch.autograd.grad(F.adaptive_avg_pool2d(x, (6, 5)), x, torch.from_numpy(dy))
    np.testing.assert_allclose(gpuconv.grad.adaptive_avg_pool2d(dy, x.shape), dx, rtol=1e-14, atol=1e-14)


# Pools turned round


@pytest.mark.parametrize("dtype", POOL_DTYPES)
@pytest.mark.parametrize("output_size", [None, (6, 8), (2, 3, 7, 7), [7, 9]], ids=str)
def test_maxima_go_back_to_where_they_were(output_size, dtype):
    H, W = output_size[-2:] if output_size else (6, 8)
    x = integers((2, 3, H, W), dtype)
    y, indices = gpuconv.max_pool2d(x, 2, return_indices=True)
    y, indices = np.ascontiguousarray(y[:, :, :3, : 8 // 2]), indices[:, :, :3, : 8 // 2]
    if y.shape[3] < 4:
        y, indices = (np.pad(each, ((0, 0), (0, 0), (0, 0), (0, 1))) for each in (y, indices))
    unpooled = gpuconv.max_unpool2d(y, indices, 2, output_size=output_size)
    equal(unpooled, reference.scattered(y, indices, (H, W), "last").astype(dtype))


def test_unpooled_as_in_torch():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x = torch.from_numpy(integers((2, 3, 9, 11), "float32"))
    for kernel, stride, padding, size in (
        (3, 2, 1, None),
        (2, None, 0, (9, 11)),
        ((2, 3), (3, 2), (1, 0), None),
    ):
        y, indices = F.max_pool2d(x, kernel, stride, padding, return_indices=True)
        y = torch.arange(1.0, y.numel() + 1).reshape(y.shape)  # by which one sees which of several is last
        if size is None and indices.max() >= 0:
            side = gpuconv.max_unpool2d(y, indices.clamp(max=0), kernel, stride, padding).shape[-2:]
            indices = indices % (side[0] * side[1])
        expected = F.max_unpool2d(y, indices, kernel, stride, padding, size)
        found = gpuconv.max_unpool2d(y, indices, kernel, stride, padding, size)
        assert (found == expected).all()


def test_one_image_needs_no_batch():
    np.testing.assert_array_equal(
        gpuconv.grad.max_pool2d(DY[0], INDICES[0], X[0].shape, 3, 2, 1),
        gpuconv.grad.max_pool2d(DY, INDICES, X.shape, 3, 2, 1)[0],
    )
    np.testing.assert_array_equal(
        gpuconv.grad.avg_pool2d(DY[0], [3, 8, 9], 3, 2, 1),
        gpuconv.grad.avg_pool2d(DY, [2, 3, 8, 9], 3, 2, 1)[0],
    )
    assert gpuconv.max_unpool2d(Y[0], INDICES[0], 3, 2, 1, (3, 8, 9)).shape == (3, 8, 9)
    assert gpuconv.grad.adaptive_avg_pool2d(DY[0], (3, 8, 9)).shape == (3, 8, 9)


# Of norms


@pytest.mark.parametrize("norm", [1, 2, 3, 1.5, 0.5, -1, np.float32(2)])
@pytest.mark.parametrize("windows", [(3, 2), (3, 2, True), ((2, 3),), (2, 1), ((8, 9),)], ids=str)
def test_gradients_of_norms_are_those_of_torch(norm, windows):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(1).uniform(0.2, 2, X.shape)
    if norm in (1, 2):  # of which numbers may be negative
        x *= np.sign(integers(X.shape, "float64") + 0.5)
    x = torch.from_numpy(x).requires_grad_()
    kernel, stride, *ceil = (*windows, None)[:3] if len(windows) < 3 else windows
    ceil = bool(ceil and ceil[0])
    y = torch.nn.functional.lp_pool2d(x, float(norm), kernel, stride, ceil)
    dy = torch.from_numpy(normal(y.shape, "float64"))
    (expected,) = torch.autograd.grad(y, x, dy)
    dx = gpuconv.grad.lp_pool2d(dy, x.detach(), y.detach(), norm, kernel, stride, ceil)
    np.testing.assert_allclose(dx, expected, rtol=1e-12, atol=1e-13)


def test_a_window_whose_norm_is_zero_passes_no_gradient():
    x = np.zeros((1, 1, 2, 4))
    x[..., 0, 2:] = 3, 4
    for norm in (1, 2, 3):
        y = np.array([[[[0.0, 5.0]]]])
        dx = gpuconv.grad.lp_pool2d(np.ones_like(y), x, y, norm, 2)
        assert not dx[..., :2].any() and dx[..., 2:].any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_norms_of_16_bits_are_rounded_once(dtype):
    arrays = [abs(normal(shape, dtype, seed)) + 1 for seed, shape in enumerate((Y.shape, X.shape, Y.shape))]
    arrays = [each.astype(dtype) for each in arrays]
    wide = gpuconv.grad.lp_pool2d(*(each.astype("float32") for each in arrays), 3, 2, None, True)
    equal(gpuconv.grad.lp_pool2d(*arrays, 3, 2, None, True), wide.astype(dtype))


# Layouts, threads, hard values


CALLS = {
    "max": (MAX_POOL2D_GRADIENT, (DY, INDICES), (X.shape, 3, 2, 1, 1, False)),
    "any": (MAX_POOL2D_GRADIENT, (DY, INDICES), (X.shape, None, None, 0, 1, False)),
    "unpool": (MAX_UNPOOL2D, (DY, INDICES), (3, 2, 1, (8, 9))),
    "avg": (AVG_POOL2D_GRADIENT, (DY,), (X.shape, 3, 2, 1, False, True, None)),
    "norms": (LP_POOL2D_GRADIENT, (DY, X, 1 + abs(Y)), (2, 2, None, True)),
    "adaptive": (ADAPTIVE_AVG_POOL2D_GRADIENT, (DY,), ((2, 3, 7, 6),)),
    "whole": (ADAPTIVE_AVG_POOL2D_GRADIENT, (DY[:, :, :1, :1].copy(),), ((2, 3, 7, 6),)),
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layout", READABLE)
@pytest.mark.parametrize("name", CALLS)
def test_arrays_of_every_layout(name, layout, dtype):
    operator, (dy, *rest), parameters = CALLS[name]
    dy, *rest = (each.astype(dtype) if each.dtype.kind == "f" else each for each in (dy, *rest))
    expected = make(operator, (dy, *rest, None), parameters, None)
    out = WRITABLE[layout](np.full_like(expected, np.nan)) if layout in WRITABLE else None
    laid = [READABLE[layout](each) for each in (dy, *rest)]
    y = make(operator, (*laid, out), parameters, None)
    np.testing.assert_array_equal(y, expected)
    assert out is None or y is out


@pytest.mark.parametrize("name", ["max", "any", "unpool"])
def test_indices_of_32_bits(name):
    operator, (dy, indices), parameters = CALLS[name]
    expected = make(operator, (dy, indices, None), parameters, None)
    found = make(operator, (dy, indices.astype(np.int32), None), parameters, None)
    np.testing.assert_array_equal(found, expected, strict=True)


def test_threads_change_nothing():
    dy = normal((2, 60, 56, 57), "float32")
    _, indices = gpuconv.max_pool2d(normal((2, 60, 112, 114), "float32"), 3, 2, 1, return_indices=True)
    results, threads = [], gpuconv.get_num_threads()
    try:
        for count in (1, 2, 3):
            gpuconv.set_num_threads(count)
            results.append(
                gpuconv.grad.max_pool2d(dy, indices, (2, 60, 112, 114), 3, 2, 1).tobytes()
                + gpuconv.grad.avg_pool2d(dy, (2, 60, 112, 114), 3, 2, 1).tobytes()
            )
    finally:
        gpuconv.set_num_threads(threads)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "windows", [{"kernel_size": 3, "stride": s, "padding": 1} for s in (1, 2, 3)] + [{"kernel_size": 2}]
)
def test_what_is_not_finite_reaches_what_its_window_has(value, windows):
    shape = gpuconv.avg_pool2d(X, **windows).shape
    dy = integers(shape, "float32", 1)
    dy[0, 1, 1, 2] = value
    seen = gpuconv.grad.avg_pool2d((~np.isfinite(dy)).astype("f4"), X.shape, **windows) != 0
    dx = gpuconv.grad.avg_pool2d(dy, X.shape, **windows)
    np.testing.assert_array_equal(~np.isfinite(dx), seen)


def test_no_zero_is_negative():
    dy = np.full((1, 1, 2, 2), -0.0, np.float32)
    indices = np.array([[[[0, 3], [8, 15]]]])
    for dx in (
        gpuconv.grad.avg_pool2d(dy, (1, 1, 4, 4), 2),
        gpuconv.grad.avg_pool2d(dy[:, :, :1, :1], (1, 1, 4, 4), 4),
        gpuconv.grad.max_pool2d(dy, indices, (1, 1, 4, 4)),
    ):
        assert not np.signbit(dx).any()


def test_strides_beyond_32_bits():
    dy = np.ones((1, 1, 1, 1))
    most = 2**31 - 1
    assert gpuconv.grad.avg_pool2d(dy, (1, 1, 2, 2), 2, most).tolist() == [[[[0.25] * 2] * 2]]
    dx = gpuconv.grad.max_pool2d(dy, np.array([[[[3]]]]), (1, 1, 2, 2), 2, most)
    assert dx.tolist() == [[[[0, 0], [0, 1]]]]


# Wrong input, and planes that share a task


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("wrong", [72, -2, 2**40, -(2**63)])
@pytest.mark.parametrize("layout", ["contiguous", "strided"])
@pytest.mark.parametrize("name", ["max", "any", "unpool"])
def test_indices_out_of_range_are_refused(name, layout, wrong, dtype):
    operator, (dy, indices), parameters = CALLS[name]
    indices = indices.copy()
    indices[1, 2, 3, 1] = wrong
    with pytest.raises(ValueError, match=rf"indices must be .* of 8x9, from 0 to 71, or -1 .*; got {wrong}$"):
        make(operator, (dy.astype(dtype), WRITABLE[layout](indices), None), parameters, None)


@pytest.mark.parametrize("shape", [(2, 3, 7, 7), (1, 2, 300, 200), (1, 1, 2, 70000)])
@pytest.mark.parametrize("place", [0, -1])
def test_a_wrong_index_is_found_wherever_it_is(shape, place, threads):
    threads(3)
    indices = np.full((*shape[:2], -(-shape[2] // 2), -(-shape[3] // 2)), -1)
    dy = np.ones(indices.shape, "f4")
    assert not gpuconv.grad.max_pool2d(dy, indices, shape, 2, ceil_mode=True).any()
    indices.reshape(-1)[place] = shape[2] * shape[3]
    with pytest.raises(ValueError, match=f"indices must be .*; got {shape[2] * shape[3]}$"):
        gpuconv.grad.max_pool2d(dy, indices, shape, 2, ceil_mode=True)


def test_small_planes_of_any_number_share_tasks(threads):
    threads(3)
    for planes in (1, 5, 83, 400):
        x = normal((1, planes, 7, 5), "float32")
        y, indices = gpuconv.max_pool2d(x, 3, 2, 1, return_indices=True)
        dx = gpuconv.grad.max_pool2d(y, indices, x.shape, 3, 2, 1)
        expected = np.zeros((planes, 35))
        for plane, (values, places) in enumerate(zip(y[0], indices[0], strict=True)):
            np.add.at(expected[plane], places.ravel(), values.ravel())
        np.testing.assert_allclose(dx.reshape(planes, 35), expected, rtol=1e-6)


RIGHT = {
    "max_pool2d": {
        "grad_output": DY, "indices": INDICES, "input_size": X.shape, "kernel_size": 3, "stride": 2,
        "padding": 1,
    },
    "avg_pool2d": {"grad_output": DY, "input_size": X.shape, "kernel_size": 3, "stride": 2, "padding": 1},
    "adaptive_avg_pool2d": {"grad_output": DY, "input_size": X.shape},
}  # fmt: skip
WRONG = [
    ("grad_output", DY.astype(int), TypeError, "grad_output must be float32, .*got dtype int64"),
    ("grad_output", [1.0], TypeError, "grad_output must be an array"),
    ("grad_output", DY[0, 0], ValueError, r"grad_output must have shape \(N, C, H, W\)"),
    ("input_size", (2, 3, 8), ValueError, r"input_size must be 4 integers, as .*got \(2, 3, 8\)"),
    ("input_size", 8, TypeError, "input_size must be 4 integers, got 8"),
    ("input_size", (2, 3, 8.0, 9), TypeError, "input_size must be 4 integers"),
    ("input_size", (2, 3, -8, 9), ValueError, "input_size must be from 0"),
    ("input_size", (2, 4, 8, 9), ValueError, r"grad_output must .*\(2, 4, .*got \(2, 3, 4, 5\)"),
    ("kernel_size", 0, ValueError, "kernel_size must be from 1"),
    ("stride", 3, ValueError, "grad_output must have the shape of the pool's result"),
    ("stride", -1, ValueError, "stride must be from 1"),
    ("padding", 2, ValueError, "padding of a pool may be at most half"),
    ("padding", "SAME", ValueError, "padding must be"),
    ("dilation", 0, ValueError, "dilation must be from 1"),
    ("ceil_mode", 1, TypeError, "ceil_mode must be True or False"),
    ("count_include_pad", 1, TypeError, "count_include_pad must be True or False"),
    ("divisor_override", 0, ValueError, "divisor_override must not be 0"),
    ("indices", INDICES.astype(float), TypeError, r"indices must .*indices.astype\(np.int64\)"),
    ("indices", INDICES.astype(np.int16), TypeError, "indices must be int64"),
    ("indices", INDICES[:1], ValueError, r"indices must have .*\(2, 3, 4, 5\), got \(1,"),
    ("indices", None, TypeError, "indices must be an array"),
    ("kernel_size", None, ValueError, "stride=2 is of windows: it needs kernel_size"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "error", "message"), WRONG)
@pytest.mark.parametrize("function", RIGHT)
def test_wrong_arguments_of_gradients(function, name, value, error, message):
    arguments = RIGHT[function]
    if function == "avg_pool2d" and value is None:
        error, message = TypeError, "kernel_size must be"
    if name in arguments or (name in ("ceil_mode", "dilation") and function == "max_pool2d") or (
        name in ("count_include_pad", "divisor_override", "ceil_mode") and function == "avg_pool2d"
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            getattr(gpuconv.grad, function)(**{**arguments, name: value})


WRONG_UNPOOLS = [
    ({"input": Y.astype(int)}, TypeError, "input must be float32"),
    ({"indices": INDICES[:, :1]}, ValueError, "indices must have the shape of input"),
    ({"indices": INDICES.astype("u8")}, TypeError, "indices must be int64"),
    ({"kernel_size": 0}, ValueError, "kernel_size must be from 1"),
    ({"padding": "same"}, ValueError, "padding must be an integer or a pair.*'same'"),
    ({"padding": -1}, ValueError, "padding must be from 0"),
    ({"padding": 40}, ValueError, "input is too small: an output of -71x-69"),
    ({"output_size": (5, 9)}, ValueError, r"output_size must be from \(6, 8\) to \(8, 10\), got \(5, 9\)"),
    ({"output_size": (8, 11)}, ValueError, r"output_size must be from \(6, 8\) to \(8, 10\), got \(8, 11\)"),
    ({"output_size": (3, 8, 9)}, ValueError, "output_size must be one integer or two"),
    ({"output_size": (8.0, 9)}, TypeError, "output_size must be an integer"),
    ({"output_size": (2, "3", 8, 9)}, TypeError, "output_size must be an integer, got '3'"),
    ({"output_size": (-2, 3, 8, 9)}, ValueError, "output_size must be from 0 .*, got -2"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG_UNPOOLS)
def test_wrong_arguments_of_an_unpool(wrong, error, message):
    right = {
        "input": Y,
        "indices": INDICES,
        "kernel_size": 3,
        "stride": 2,
        "padding": 1,
        "output_size": (8, 9),
    }
    with pytest.raises(error, match=message):
        gpuconv.max_unpool2d(**{**right, **wrong})


WRONG_NORMS = [
    ({"norm_type": 0}, ValueError, "norm_type must be .* not 0, got 0"),
    ({"norm_type": np.inf}, ValueError, "norm_type must be finite"),
    ({"norm_type": "2"}, TypeError, "norm_type must be a number, got '2'"),
    ({"norm_type": True}, TypeError, "norm_type must be a number, got True"),
    ({"input": X.astype(float)}, TypeError, "input must have grad_output's dtype float32"),
    ({"output": Y.astype(float)}, TypeError, "output must have grad_output's dtype float32"),
    ({"output": Y[:, :1]}, ValueError, "output must have the shape of grad_output"),
    ({"input": X[:, :1]}, ValueError, "grad_output must have the shape of the pool's result"),
    ({"kernel_size": 3}, ValueError, "grad_output must have the shape of the pool's result"),
    ({"ceil_mode": 1}, TypeError, "ceil_mode must be True or False"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG_NORMS)
def test_wrong_arguments_of_a_gradient_of_norms(wrong, error, message):
    right = {"grad_output": DY, "input": X, "output": Y, "norm_type": 2, "kernel_size": 2, "ceil_mode": True}
    with pytest.raises(error, match=message):
        gpuconv.grad.lp_pool2d(**{**right, **wrong})


def test_explain_tells_gradients_from_pools():
    verdicts = gpuconv.explain(gpuconv.grad.avg_pool2d, DY, X.shape, 3, 2, 1)
    assert verdicts[0] == ("shares_separable", "selected: for windows of any size")
    ((name, _), *_) = gpuconv.explain(gpuconv.grad.max_pool2d, DY, INDICES, X.shape, 3, 2, 1)
    assert name == "scatter_ordered"
    assert gpuconv.explain(gpuconv.avg_pool2d, X, 3)[0][0].startswith("pool")
