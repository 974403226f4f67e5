"""What errors repeat of a wrong value: the value, shortened where it is long."""

import inspect
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

import gpuconv
from gpuconv.spec import shown
from gpuconv.spec.shown import MOST

X, W, PLACES = (
    np.ones((1, 2, 6, 6), np.float32),
    np.ones((2, 2, 3, 3), np.float32),
    np.zeros((1, 2, 6, 6), int),
)
ARRAYS = {"input": X, "weight": W, "indices": PLACES, "grad_output": X, "output": X}
SIZES = {"input_size": (1, 2, 8, 8), "weight_size": (2, 2, 3, 3), "output_size": 6, "kernel_size": 3}
VALUES = {"norm_type": 2, "mask": None, "offset": np.zeros((1, 18, 4, 4), np.float32)}


class Endless(Sequence):
    """As range(10**12), whose elements nobody may look through."""

    def __len__(self):
        return 10**12

    def __getitem__(self, place):
        assert place < 100
        return place + 1


LONG = {
    "endless": Endless(),
    "text": "a" * 10_000,
    "name": ("leaky_relu", "a" * 10_000),
    "list": [1] * 10_000,
    "nested": [["a" * 10_000] * 100] * 100,
    "bytes": b"a" * 10_000,
    "digits": 10**5000,
    "array": np.ones((50, 50)),
    "object": object(),
}
OTHER_INPUTS = {
    gpuconv.fold: {"input": np.ones((1, 9, 16), np.float32)},
    gpuconv.grad.lp_pool2d: {"input": np.ones((1, 2, 18, 18), np.float32)},
}
LONGEST = 700  # characters of an error, most of which name what may be given

FUNCTIONS = {
    name: getattr(gpuconv, name) for name in gpuconv.__all__ if name.endswith("2d") or "fold" in name
}
FUNCTIONS |= {f"grad.{name}": getattr(gpuconv.grad, name) for name in gpuconv.grad.__all__}


def places():
    for name, function in FUNCTIONS.items():
        for parameter in inspect.signature(function).parameters:
            yield pytest.param(function, parameter, id=f"{name}-{parameter}")


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize(("function", "parameter"), list(places()))
def test_errors_name_the_argument_and_are_short(function, parameter, kind):
    given = {
        name: (ARRAYS | SIZES | VALUES)[name]
        for name, each in inspect.signature(function).parameters.items()
        if each.default is each.empty
    }
    given |= OTHER_INPUTS.get(function, {})
    with pytest.raises((TypeError, ValueError), match=parameter) as caught:
        function(**given | {parameter: LONG[kind]})
    assert len(str(caught.value)) < LONGEST


@pytest.mark.parametrize("name", ["conv2d_input", "avg_pool2d", "max_pool2d", "adaptive_avg_pool2d"])
@pytest.mark.parametrize("size", [b"same", "same", {1, 2, 12, 13}, dict.fromkeys((1, 2, 12, 13)), 7])
def test_sizes_are_in_an_order(name, size):
    arrays = {"conv2d_input": (W, X), "max_pool2d": (X, PLACES)}.get(name, (X,))
    function = getattr(gpuconv.grad, name)
    with pytest.raises(TypeError, match="input_size must be 4 integers"):
        function(size, *arrays) if name == "conv2d_input" else function(*arrays, size, *windows(name))


@pytest.mark.parametrize("size", [b"same", {1, 2, 3, 4}])
def test_sizes_of_weights_are_in_an_order(size):
    with pytest.raises(TypeError, match="weight_size must be 4 integers"):
        gpuconv.grad.conv2d_weight(X, size, X)


def windows(name):
    return () if "adaptive" in name else (3,)


def test_what_is_too_small_is_called_by_its_name():
    size = 1, 2, 2, 2
    with pytest.raises(ValueError, match=r"^input_size is too small"):
        gpuconv.grad.conv2d_input(size, W, X)
    with pytest.raises(ValueError, match=r"^input_size is too small"):
        gpuconv.grad.max_pool2d(X, PLACES, size, 3)
    with pytest.raises(ValueError, match=r"^input_size is too small"):
        gpuconv.grad.avg_pool2d(X, size, 3)
    with pytest.raises(ValueError, match=r"^input is too small"):
        gpuconv.grad.lp_pool2d(X, X, X, 2, 9)
    with pytest.raises(ValueError, match=r"^output_size is too small"):
        gpuconv.fold(np.ones((1, 9, 4), np.float32), 2, 3)


def test_many_outputs_of_an_adaptive_pool_are_refused_before_any_memory_is_taken():
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="output_size=1000000 has a result of"):
            gpuconv.adaptive_avg_pool2d(np.broadcast_to(np.float32(1), (1 << 12, 1 << 12, 1, 3)), 10**6)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", ["same", (1, "two"), [[1, 2], [3, 4]], 2**63, 1.5, None, np.float32(2)])
def test_what_is_short_is_repeated_whole(value):
    assert shown(value) == repr(value)


@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
def test_what_is_long_is_shortened(value):
    assert len(shown(value)) <= 3 * MOST


def test_arrays_of_others_are_not_read():
    torch = pytest.importorskip("torch")
    assert shown(torch.ones(3)) == "<Tensor>"
    assert shown((1, torch.ones(3))) == "(1, <Tensor>)"


def test_what_cannot_be_written():
    class Silent:
        def __repr__(self):
            raise RuntimeError

    assert "Silent" in shown(Silent()) and shown(10**5000) == "<int>"
