"""Objects on the CPU that speak DLPack and nothing else: what is read, written to, and refused."""

import numpy as np
import pytest

import gpuconv
from gpuconv.arrays.dlpack import Export, exported
from tests import fakes
from tests.cases import integers

X, W, BIAS = (integers(shape, "float32", i) for i, shape in enumerate([(2, 3, 5, 6), (4, 3, 2, 2), (4,)]))
EXPECTED = gpuconv.conv2d(X, W, BIAS, padding=1)


class Old(fakes.DLPack):
    """Of before DLPack 1.0."""

    def __dlpack__(self, stream=None):
        return self.host.__dlpack__()


class Copying(fakes.DLPack):
    """It hands out a copy, and says nothing of it."""

    def __dlpack__(self, **keywords):
        return self.host.copy().__dlpack__(max_version=keywords.get("max_version"))


class SaysThatItCopies(fakes.DLPack):
    def __init__(self, host):
        super().__init__(host)
        self.kept = host.copy()

    def __dlpack__(self, **keywords):
        return self.kept.__dlpack__(max_version=(1, 0), copy=True)


def test_dlpack_objects_on_the_cpu_give_numpy_arrays():
    y = gpuconv.conv2d(*map(fakes.DLPack, (X, W, BIAS)), padding=1)
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, EXPECTED, strict=True)


def test_dlpack_objects_that_cannot_be_exported_are_refused_by_name():
    with pytest.raises(TypeError, match="weight cannot be read"):
        gpuconv.conv2d(fakes.DLPack(X), fakes.DLPack(W.astype(">f4")))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no such stride"), "no such stride"),
        (ValueError(), "ValueError"),
        (OverflowError("int too big"), "int too big"),
        (NotImplementedError(), "NotImplementedError"),
        (IndexError("tuple index"), "tuple index"),
        (OSError(5, "a disk of its own"), ".*a disk of its own"),
    ],
    ids=repr,
)
def test_whatever_an_array_raises_the_argument_is_named(error, reason):
    class Broken(fakes.DLPack):
        def __dlpack__(self, **keywords):
            raise error

    with pytest.raises(TypeError, match=f"^weight cannot be read: {reason}$") as caught:
        gpuconv.conv2d(fakes.DLPack(X), Broken(W))
    assert caught.value.__cause__ is error


def test_a_property_may_say_that_an_array_is_on_no_gpu():
    """As Paddle's does, of a tensor on the CPU."""

    class Tensor(fakes.DLPack):
        @property
        def __cuda_array_interface__(self):
            raise AttributeError("this tensor is on the CPU")

    np.testing.assert_array_equal(gpuconv.conv2d(*map(Tensor, (X, W, BIAS)), padding=1), EXPECTED)


def test_out_is_written_through():
    out = np.zeros((4, 6, 7, 2), np.float32)[..., 0]
    wrapped = fakes.DLPack(out[None].repeat(2, 0))
    assert gpuconv.conv2d(*map(fakes.DLPack, (X, W, BIAS)), padding=1, out=wrapped) is wrapped
    np.testing.assert_array_equal(wrapped.host, EXPECTED)
    shared = fakes.DLPack(X)
    with pytest.raises(ValueError, match="out overlaps input in memory"):
        gpuconv.max_pool2d(shared, 1, out=fakes.DLPack(X))


@pytest.mark.parametrize("kind", [Copying, SaysThatItCopies])
def test_a_copy_is_an_input_and_no_out(kind):
    out = kind(np.zeros(EXPECTED.shape, np.float32))
    np.testing.assert_array_equal(gpuconv.conv2d(*map(kind, (X, W, BIAS)), padding=1), EXPECTED)
    with pytest.raises(TypeError, match="out cannot be written to: its __dlpack__ hands out a copy"):
        gpuconv.conv2d(*map(fakes.DLPack, (X, W, BIAS)), padding=1, out=out)


@pytest.mark.parametrize("kind", [fakes.DLPack, Old])
def test_what_must_not_be_written_to_is_no_out(kind):
    out = np.zeros(EXPECTED.shape, np.float32)
    out.flags.writeable = kind is Old  # NumPy then takes it to be
    with pytest.raises(ValueError, match="out is read-only"):
        gpuconv.conv2d(X, W, BIAS, padding=1, out=kind(out))


def test_an_empty_out():
    x = fakes.DLPack(np.zeros((0, 3, 4, 4), np.float32))
    assert gpuconv.max_pool2d(x, 2, out=(out := fakes.DLPack(np.zeros((0, 3, 2, 2), np.float32)))) is out


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float64", "complex64"])
@pytest.mark.parametrize("kind", [fakes.DLPack, Old])
def test_what_a_capsule_says(kind, dtype):
    array = np.ones((2, 3), dtype)[:, 1:]
    assert exported(kind(array)) == Export(array.ctypes.data, dtype, False, False)
