"""What runs on a CUDA device: every algorithm on every case it supports, against the reference. Needs CuPy.

Where there is no device these tests are skipped, each with the reason.
"""

import numpy as np
import pytest

import gpuconv
from tests import reference
from tests.cases import CONV_CASES, DTYPES, POOL_CASES, POOL_DTYPES, integers, normal

engine = pytest.importorskip("gpuconv.cuda", reason="the GPU engine is not installed")
execution = pytest.importorskip("tests.cuda.execution")
describing = pytest.importorskip("gpuconv.cuda.runtime.gpu")
pytestmark = pytest.mark.gpu


@pytest.fixture
def cupy():
    import cupy

    return cupy


def to_device(cupy, *arrays):
    return [None if array is None else cupy.asarray(array) for array in arrays]


def skip_what_is_refused(algorithm, spec):
    if reason := execution.refusal(algorithm, spec, describing.gpu(0)):
        pytest.skip(reason)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONV_CASES, ids=str)
@pytest.mark.parametrize("algorithm", engine.ALGORITHMS["conv"], ids=lambda algorithm: algorithm.name)
def test_convolutions_are_exact_on_integers(cupy, algorithm, case, dtype):
    skip_what_is_refused(algorithm, case.spec(dtype))
    host = case.arrays(dtype, integers)
    got = gpuconv.conv2d(*to_device(cupy, *host), **case.parameters, algorithm=algorithm.name)
    assert isinstance(got, cupy.ndarray) and got.dtype == dtype
    np.testing.assert_array_equal(got.get(), case.expected(*host).astype(dtype))


@pytest.mark.parametrize("case", CONV_CASES, ids=str)
@pytest.mark.parametrize("algorithm", engine.ALGORITHMS["conv"], ids=lambda algorithm: algorithm.name)
def test_convolutions_stay_within_the_error_bound(cupy, algorithm, case):
    skip_what_is_refused(algorithm, case.spec())
    host = case.arrays("float32", normal)
    got = gpuconv.conv2d(*to_device(cupy, *host), **case.parameters, algorithm=algorithm.name).get()
    if algorithm.name == "conv_winograd":  # an output sees the greatest input of its tile
        bound = reference.tile_error_bound(*host, padding=case.padding, groups=case.groups)
    else:
        bound = reference.error_bound(*host, **case.parameters)
    assert (abs(got - case.expected(*host)) <= bound).all()


@pytest.mark.parametrize("dtype", POOL_DTYPES)
@pytest.mark.parametrize("case", POOL_CASES, ids=str)
@pytest.mark.parametrize("algorithm", engine.ALGORITHMS["pool"], ids=lambda algorithm: algorithm.name)
def test_pools_are_exact_on_integers(cupy, algorithm, case, dtype):
    skip_what_is_refused(algorithm, case.spec(dtype))
    x = integers(case.x, dtype)
    device_x = cupy.asarray(x)
    if case.op == "avg":
        got = gpuconv.avg_pool2d(device_x, **case.parameters, algorithm=algorithm.name)
        np.testing.assert_array_equal(got.get(), case.expected(x).astype(dtype))
        return
    values, indices = reference.max_pool2d(x, **case.parameters)
    if execution.refusal(algorithm, case.spec(dtype, True), describing.gpu(0)) is None:
        got = gpuconv.max_pool2d(device_x, **case.parameters, return_indices=True, algorithm=algorithm.name)
        np.testing.assert_array_equal(got[0].get(), values.astype(dtype))
        np.testing.assert_array_equal(got[1].get(), indices)
    alone = gpuconv.max_pool2d(device_x, **case.parameters, algorithm=algorithm.name)
    np.testing.assert_array_equal(alone.get(), values.astype(dtype))


def test_layouts_and_out(cupy):
    x, w = integers((2, 6, 12, 14), "float32"), integers((4, 3, 3, 3), "float32", 1)
    views = [lambda a: a[:, ::2, ::-1, 1::2], lambda a: a[::-1, 3:, :, ::-2]]
    buffer = cupy.full((2, 8, 12, 7), cupy.nan, "float32")
    for view in views:
        expected = reference.conv2d(view(x), w, padding=1).astype("float32")
        out = buffer[:, 1:8:2]
        got = gpuconv.conv2d(view(cupy.asarray(x)), cupy.asarray(w), padding=1, out=out)
        assert got is out
        np.testing.assert_array_equal(out.get(), expected)
        assert cupy.isnan(buffer[:, ::2]).all()


@pytest.mark.parametrize("C", [3, 256])  # one kernel, and sums that several blocks share
def test_a_call_made_again_computes_on_its_own_arrays(cupy, C):
    w = integers((4, C, 3, 3), "float32", 1)
    plan = gpuconv.plan_conv2d(*map(cupy.asarray, (integers((1, C, 7, 7), "float32"), w)), padding=1)
    for seed in range(3):
        x = integers((1, C, 7, 7), "float32", seed)
        arrays = cupy.asarray(x), cupy.asarray(w)
        out = cupy.full((1, 4, 7, 7), cupy.nan, "float32")
        results = (
            gpuconv.conv2d(*arrays, padding=1), gpuconv.conv2d(*arrays, padding=1, out=out),
            plan(*arrays), plan(*arrays, out=cupy.full_like(out, cupy.nan)),
        )  # fmt: skip
        expected = reference.conv2d(x, w, padding=1).astype("float32")
        for got in results:
            np.testing.assert_array_equal(got.get(), expected)


def test_the_callers_stream_is_used_and_graphs_capture(cupy):
    x, w = (cupy.asarray(integers(shape, "float32")) for shape in ((1, 3, 16, 16), (4, 3, 3, 3)))
    y = cupy.zeros((1, 4, 14, 14), "float32")
    expected = gpuconv.conv2d(x, w)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        gpuconv.conv2d(x, w, out=y)
        stream.begin_capture()
        gpuconv.conv2d(x, w, out=y)
        graph = stream.end_capture()
        y.fill(0)
        graph.launch(stream)
    stream.synchronize()
    assert (y == expected).all()


def test_numba_arrays_come_back_as_numba_arrays(cupy):
    cuda = pytest.importorskip("numba.cuda")
    x, w = integers((1, 2, 6, 6), "float32"), integers((3, 2, 3, 3), "float32")
    got = gpuconv.conv2d(cuda.to_device(x), cuda.to_device(w))
    assert type(got) is type(cuda.to_device(x))
    np.testing.assert_array_equal(got.copy_to_host(), reference.conv2d(x, w).astype("float32"))


def test_torch_tensors_come_back_as_torch_tensors(cupy):
    torch = pytest.importorskip("torch")
    x, w = integers((1, 2, 6, 6), "float32"), integers((3, 2, 3, 3), "float32")
    got = gpuconv.conv2d(torch.tensor(x, device="cuda"), torch.tensor(w, device="cuda"))
    assert isinstance(got, torch.Tensor) and got.device.type == "cuda"
    np.testing.assert_array_equal(got.cpu().numpy(), reference.conv2d(x, w).astype("float32"))


@pytest.mark.slow
def test_offsets_beyond_32_bits(cupy):
    """2^31 elements and more: an input of 9 GB, of which the last image is compared."""
    N = 2**31 // (8 * 512 * 512) + 2
    x = cupy.zeros((N, 8, 512, 512), "float32")
    last = integers((1, 8, 512, 512), "float32")
    x[-1:] = cupy.asarray(last)
    w = integers((1, 8, 3, 3), "float32", 1)
    got = gpuconv.conv2d(x, cupy.asarray(w))
    np.testing.assert_array_equal(got[-1:].get(), reference.conv2d(last, w).astype("float32"))
    assert not got[:-1].any()
    pooled = gpuconv.max_pool2d(x, 2, return_indices=True)
    values, indices = reference.max_pool2d(last, 2)
    np.testing.assert_array_equal(pooled[0][-1:].get(), values.astype("float32"))
    np.testing.assert_array_equal(pooled[1][-1:].get(), indices)
