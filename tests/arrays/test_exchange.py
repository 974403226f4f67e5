"""Libraries that speak DLPack: results come back by their own `from_dlpack`, and bfloat16 goes both ways."""

import sys
from types import ModuleType

import numpy as np
import pytest

import gpuconv
from gpuconv.arrays.dlpack import HandsOutBfloat16, exported, read_bfloat16
from tests import fakes
from tests.cases import BFLOAT16, integers

X, W = integers((2, 3, 5, 6), "float32"), integers((4, 3, 2, 2), "float32", 1)
HALVES = X.astype(BFLOAT16)


class Bfloat16(fakes.DLPack):
    """It hands out bfloat16, by DLPack of 1.0, or of before."""

    def __init__(self, host, is_old=False):
        super().__init__(host)
        self.is_old = is_old

    def __dlpack__(self, **keywords):
        if self.is_old and keywords:
            raise TypeError("of before DLPack 1.0")
        return HandsOutBfloat16(self.host).__dlpack__(**keywords)


def mlx():
    core = pytest.importorskip("mlx.core")
    return core.array, core.array, lambda array: array.astype(core.bfloat16)


def paddle():
    module = pytest.importorskip("paddle")
    return module.to_tensor, module.Tensor, lambda array: array.astype("bfloat16")


def strict():
    module = pytest.importorskip("array_api_strict")
    return module.asarray, type(module.asarray(0)), None


@pytest.fixture(params=[mlx, paddle, strict])
def library(request):
    """(what makes an array of it of NumPy's, its type, what casts one to bfloat16 or None)."""
    return request.param()


def test_results_are_of_the_library_of_the_input(library):
    make, kind, _ = library
    y = gpuconv.conv2d(make(X), make(W), padding=1)
    assert type(y) is kind
    np.testing.assert_array_equal(np.from_dlpack(y), gpuconv.conv2d(X, W, padding=1))
    values, indices = gpuconv.max_pool2d(make(X), 2, return_indices=True)
    assert (type(values), type(indices)) == (kind, kind)
    expected = gpuconv.max_pool2d(X, 2, return_indices=True)
    for ours, theirs in zip((values, indices), expected, strict=True):
        np.testing.assert_array_equal(np.from_dlpack(ours), theirs)
    assert type(gpuconv.grad.avg_pool2d(y, (2, 4, 12, 14), 2)) is kind


def test_of_a_channels_last_batch_too(library):
    _, kind, _ = library
    last = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    foreign = type("Array", (fakes.DLPack,), {"__module__": kind.__module__})(last)
    y = gpuconv.conv2d(foreign, W)
    assert type(y) is kind
    np.testing.assert_array_equal(np.from_dlpack(y), gpuconv.conv2d(X, W))


def test_a_result_lasts_when_others_are_made(library):
    make, _, _ = library
    results = [gpuconv.max_pool2d(make(np.full((1, 2, 32, 32), value, "f4")), 2) for value in range(20)]
    assert [float(np.from_dlpack(each).min()) for each in results] == list(range(20))
    assert [float(np.from_dlpack(each).max()) for each in results] == list(range(20))


def test_bfloat16_there_and_back(library):
    make, kind, cast = library
    if cast is None:
        pytest.skip("it has none")
    y = gpuconv.max_pool2d(cast(make(X)), 2)
    assert type(y) is kind
    assert y.dtype == cast(make(X)).dtype
    np.testing.assert_array_equal(read_bfloat16(y), gpuconv.max_pool2d(HALVES, 2))


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("part", [np.s_[:], np.s_[:, ::2, 1:], np.s_[..., ::-1], np.s_[:0]])
def test_bfloat16_of_any_object(part, is_old):
    x = Bfloat16(HALVES[part], is_old)
    np.testing.assert_array_equal(gpuconv.max_pool2d(x, 2), gpuconv.max_pool2d(HALVES[part], 2), strict=True)


def test_the_memory_of_bfloat16_is_kept_and_given_back():
    host = HALVES.copy()
    before = sys.getrefcount(host)
    view = read_bfloat16(Bfloat16(host))
    assert view.ctypes.data == host.ctypes.data
    assert sys.getrefcount(host) > before
    del view
    assert sys.getrefcount(host) == before


def test_an_out_of_bfloat16():
    out = np.zeros((2, 3, 2, 3), BFLOAT16)
    wrapped = Bfloat16(out)
    assert gpuconv.max_pool2d(Bfloat16(HALVES), 2, out=wrapped) is wrapped
    np.testing.assert_array_equal(out, gpuconv.max_pool2d(HALVES, 2))
    for kept in (
        Bfloat16(out, is_old=True),
        Bfloat16(np.frombuffer(out.tobytes(), BFLOAT16).reshape(out.shape)),
    ):
        with pytest.raises(ValueError, match="out is read-only"):
            gpuconv.max_pool2d(Bfloat16(HALVES), 2, out=kept)


def test_an_out_of_the_library_is_written_through():
    module = pytest.importorskip("paddle")
    out = module.zeros((2, 3, 2, 3))
    assert gpuconv.max_pool2d(module.to_tensor(X), 2, out=out) is out
    np.testing.assert_array_equal(out.numpy(), gpuconv.max_pool2d(X, 2))


def test_what_jax_hands_out_as_bfloat16():
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(HALVES)
    np.testing.assert_array_equal(gpuconv.max_pool2d(fakes.DLPack(x), 2), gpuconv.max_pool2d(HALVES, 2))


@pytest.mark.parametrize(
    ("code", "name"), [(10, "float8_e4m3fn"), (12, "float8_e5m2"), (17, "float4_e2m1fn")]
)
def test_other_dtypes_are_refused_by_name(code, name):
    class Small(fakes.DLPack):
        def __dlpack__(self, **keywords):
            from gpuconv.arrays.dlpack import _inside

            capsule = self.host.__dlpack__(**keywords)
            _inside(capsule)[0].kind = code
            return capsule

    x = Small(np.zeros((1, 1, 4, 4), np.uint8))
    assert exported(x).dtype == name
    with pytest.raises(
        TypeError, match=rf"^input cannot be read: its dtype is {name}, and taken are float32, "
    ):
        gpuconv.max_pool2d(x, 2)


def test_the_function_of_a_library_is_found_by_its_types(monkeypatch):
    """In the module of a type or a package around it; else results are NumPy's."""
    taken = []
    package = ModuleType("toy")
    package.from_dlpack = lambda array: taken.append(array) or "toy"
    monkeypatch.setitem(sys.modules, "toy", package)
    kind = type("Array", (fakes.DLPack,), {"__module__": "toy.core.arrays"})
    assert gpuconv.max_pool2d(kind(X), 2) == "toy"
    np.testing.assert_array_equal(taken[0], gpuconv.max_pool2d(X, 2))
    out = kind(np.zeros((2, 3, 2, 3), "f4"))
    assert gpuconv.max_pool2d(kind(X), 2, out=out) is out
    assert len(taken) == 1
    assert type(gpuconv.max_pool2d(fakes.DLPack(X), 2)) is np.ndarray
