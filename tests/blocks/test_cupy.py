"""Chunks of CuPy stay where they are: on a GPU, and as a stand-in for its arrays that NumPy may not read."""

import numpy as np
import pytest

import gpuconv
from tests import reference
from tests.cases import integers

da = pytest.importorskip("dask.array")
from gpuconv.blocks import tasks  # noqa: E402

X, W = integers((2, 3, 9, 11), "float32"), integers((4, 3, 3, 3), "float32", 1)
MODES = tuple(reference.PAD_MODES)


def unwrapped(value):
    return value.host if isinstance(value, ndarray) else value


class ndarray:
    """As far as CuPy's arrays are like it; whoever makes a NumPy array of one gets an error, as of CuPy."""

    __module__ = "cupy"
    __array_priority__ = 100
    __cuda_array_interface__ = None

    def __init__(self, host):
        self.host = host
        self.shape, self.dtype, self.ndim, self.size = host.shape, host.dtype, host.ndim, host.size
        self.nbytes, self.itemsize = host.nbytes, host.itemsize

    def __array__(self, *arguments, **keywords):
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __array_function__(self, function, types, arguments, keywords):
        return ndarray(function(*map(unwrapped, arguments), **keywords))

    def __getitem__(self, index):
        return ndarray(self.host[index])

    def __setitem__(self, index, value):
        self.host[index] = value.host

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def method(*arguments, **keywords):
            result = getattr(self.host, name)(*map(unwrapped, arguments), **keywords)
            return ndarray(result) if isinstance(result, np.ndarray) else result

        return method


for _name in ("__add__", "__mul__", "__floordiv__", "__lt__"):
    setattr(
        ndarray, _name, lambda self, other, name=_name: ndarray(getattr(self.host, name)(unwrapped(other)))
    )


@pytest.fixture
def on_a_device(monkeypatch):
    """The kernels' part: what is on the device comes and goes, and nothing else does."""
    computed = tasks.make_of

    def make_of(operator, arrays, spec, name):
        assert all(each is None or type(each) is ndarray for each in arrays)
        result = computed(operator, tuple(map(unwrapped, arrays)), spec, name)
        return tuple(map(ndarray, result)) if isinstance(result, tuple) else ndarray(result)

    monkeypatch.setattr(tasks, "make_of", make_of)


def moved(array, chunks):
    meta = ndarray(np.empty((0,) * array.ndim, array.dtype))
    return da.from_array(array, chunks=chunks).map_blocks(ndarray, dtype=array.dtype, meta=meta)


def fetched(result):
    """The blocks of a result, each of which is on the device."""
    assert type(result._meta) is ndarray
    whole = np.empty(result.shape, result.dtype)
    for index in np.ndindex(*result.numblocks):
        ends = [np.cumsum(each) for each in result.chunks]
        window = tuple(
            slice(end[place] - each[place], end[place])
            for end, each, place in zip(ends, result.chunks, index, strict=True)
        )
        block = result.blocks[index].compute(scheduler="sync")
        assert type(block) is ndarray
        whole[window] = block.host
    return whole


@pytest.mark.parametrize("mode", MODES)
def test_convolutions_of_a_stand_in(mode, on_a_device):
    x, w = moved(X, (1, 2, 4, 5)), ndarray(W)
    found = fetched(gpuconv.conv2d(x, w, padding=2, stride=(1, 2), padding_mode=mode))
    np.testing.assert_array_equal(found, gpuconv.conv2d(X, W, padding=2, stride=(1, 2), padding_mode=mode))


def test_pools_of_a_stand_in(on_a_device):
    values, indices = gpuconv.max_pool2d(moved(X, (1, 2, 4, 5)), 3, 2, 1, return_indices=True)
    for found, expected in zip(
        (values, indices), gpuconv.max_pool2d(X, 3, 2, 1, return_indices=True), strict=True
    ):
        np.testing.assert_array_equal(fetched(found), expected)
    found = fetched(gpuconv.adaptive_max_pool2d(moved(X, (1, 2, 4, 5)), (4, 7)))
    np.testing.assert_array_equal(found, gpuconv.adaptive_max_pool2d(X, (4, 7)))


def test_arrays_of_both_kinds_are_refused():
    with pytest.raises(TypeError, match="weight is of NumPy and input of CuPy"):
        gpuconv.conv2d(moved(X, 5), W)


@pytest.mark.gpu
@pytest.mark.parametrize("mode", MODES)
def test_convolutions_on_a_gpu(mode):
    cupy = pytest.importorskip("cupy")
    x = da.from_array(X, chunks=(1, 2, 4, 5)).map_blocks(cupy.asarray)
    result = gpuconv.conv2d(x, cupy.asarray(W), padding=2, stride=(1, 2), padding_mode=mode)
    assert type(result._meta) is cupy.ndarray
    expected = gpuconv.conv2d(X, W, padding=2, stride=(1, 2), padding_mode=mode)
    np.testing.assert_array_equal(cupy.asnumpy(result.compute()), expected)


@pytest.mark.gpu
def test_pools_on_a_gpu():
    cupy = pytest.importorskip("cupy")
    x = da.from_array(X, chunks=(1, 2, 4, 5)).map_blocks(cupy.asarray)
    pairs = zip(
        gpuconv.max_pool2d(x, 3, 2, 1, return_indices=True),
        gpuconv.max_pool2d(X, 3, 2, 1, return_indices=True),
        strict=True,
    )
    for found, expected in pairs:
        np.testing.assert_array_equal(cupy.asnumpy(found.compute()), expected)
    adaptive = gpuconv.adaptive_max_pool2d(x, (4, 7)).compute()
    np.testing.assert_array_equal(cupy.asnumpy(adaptive), gpuconv.adaptive_max_pool2d(X, (4, 7)))
