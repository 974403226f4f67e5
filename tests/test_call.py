"""The memory of calls: what is remembered, what is asked anew, and that a call made again is the call."""

import gc
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gpuconv
from gpuconv import call as calls
from gpuconv import replay
from gpuconv.cpu.engine import again
from gpuconv.cpu.simd import objects
from tests.cases import integers

X, W = integers((2, 6, 9, 7), "float32"), integers((4, 6, 3, 3), "float32", 1)
PYTHON_CALLS, FILES = 10, 7  # of a familiar call on the CPU, at most


@pytest.fixture
def learned(monkeypatch):
    """What was understood anew, in a memory that is empty at first."""
    monkeypatch.setattr(calls, "_known", {})
    found = []
    understand = calls.understand_signatures

    def noting(*arguments):
        found.append(arguments)
        return understand(*arguments)

    monkeypatch.setattr(calls, "understand_signatures", noting)
    return found


def familiar():
    """What is known of calls made again: for each kind of call those that are alike."""
    return [each for each in calls._known.values() if isinstance(each, tuple)]


@pytest.mark.parametrize("stride", [1, (1, 2), ((2, 1)), None], ids=repr)
def test_the_same_plain_arguments_are_understood_once(learned, stride):
    for _ in range(3):
        gpuconv.max_pool2d(X, 2, stride)
    assert len(learned) == 1
    gpuconv.max_pool2d(X[:1], 2, stride)
    gpuconv.max_pool2d(X.astype(np.float64), 2, stride)
    gpuconv.max_pool2d(X[..., ::-1], 2, stride)
    gpuconv.avg_pool2d(X, 2, stride)
    assert len(learned) == 5


def test_a_norm_is_plain(learned):
    x = np.ones((1, 1, 2, 2))
    for _ in range(3):
        gpuconv.grad.lp_pool2d(x[..., :1, :1], x, x[..., :1, :1], 1.5, 2)
    assert len(learned) == 1


@pytest.mark.parametrize("one", [1.0, True, np.float32(1)], ids=repr)
def test_what_is_equal_is_not_the_same(learned, one):
    for right, wrong in ((1, one), ((1, 1), (1, one)), (((1, 1), (1, 1)), ((1, 1), (1, one)))):
        gpuconv.conv2d(X, W, padding=right)
        with pytest.raises(TypeError, match="padding must be an integer"):
            gpuconv.conv2d(X, W, padding=wrong)
        gpuconv.conv2d(X, W, padding=right)


@pytest.mark.parametrize("padding", [[1, 2], np.array([1, 2]), (np.int64(1), 2)], ids=repr)
def test_other_arguments_are_understood_each_time(learned, padding):
    expected = gpuconv.conv2d(X, W, padding=(1, 2))
    for _ in range(2):
        np.testing.assert_array_equal(gpuconv.conv2d(X, W, padding=padding), expected)
    assert len(learned) == 3


def test_an_error_is_raised_each_time(learned):
    for _ in range(3):
        with pytest.raises(ValueError, match="stride must be from 1"):
            gpuconv.conv2d(X, W, stride=0)
        with pytest.raises(ValueError, match="algorithm must be None or one of"):
            gpuconv.conv2d(X, W, algorithm="conv_unheard_of")
        with pytest.raises(TypeError, match=r"algorithm must be None or a name; got \['conv_direct'\]"):
            gpuconv.conv2d(X, W, algorithm=["conv_direct"])
    assert len(learned) == 9


def test_out_is_looked_at_each_time(learned):
    out = gpuconv.conv2d(X, W)
    storage = np.zeros(X.size + out.size, np.float32)
    x = storage[: X.size].reshape(X.shape)
    x[...] = X
    beside, over = (storage[X.size - back :][: out.size].reshape(out.shape) for back in (0, 1))
    for _ in range(2):
        assert gpuconv.conv2d(x, W, out=beside) is beside
        np.testing.assert_array_equal(beside, out)
        with pytest.raises(ValueError, match="out overlaps input in memory"):
            gpuconv.conv2d(x, W, out=over)
        beside.flags.writeable = False
        with pytest.raises(ValueError, match="out is read-only"):
            gpuconv.conv2d(x, W, out=beside)
        beside.flags.writeable = True
    assert len(learned) == 2


class Metres(np.ndarray):
    """An array that carries more than its elements."""

    def __array_finalize__(self, other):
        self.unit = "m"


OUT = np.zeros((2, 4, 7, 5), np.float32)
SHARED = np.zeros(X.size + OUT.size, np.float32)
OVER, BESIDE = (SHARED[X.size - back :][: OUT.size].reshape(OUT.shape) for back in (1, 0))
READ_ONLY = OUT.copy()
READ_ONLY.flags.writeable = False
UNLIKE = {
    "dtype": (X.astype(np.float64), W),
    "dtypes": (X.astype(np.float64), W.astype(np.float64)),
    "byte order": (X.astype(">f4"), W),
    "integers of the same bytes": (X.view(np.int32), W),
    "strides": (X[..., ::-1], W),
    "strides of the weights": (X, W[:, ::-1]),
    "fewer images": (X[:1], W),
    "fewer channels": (X, W[:2]),
    "fewer axes": (X[0], W),
    "a subclass": (X.view(Metres), W),
    "a subclass behind": (X, W.view(Metres)),
    "no array": (X, None),
    "a list": (X, W.tolist()),
    "a bias": (X, W, np.ones(4, np.float32)),
    "out of another dtype": (X, W, None, OUT.astype(np.float64)),
    "out of another shape": (X, W, None, OUT[:1]),
    "a strided out": (X, W, None, np.zeros((2, 4, 7, 10), np.float32)[..., ::2]),
    "a read-only out": (X, W, None, READ_ONLY),
    "out over the input": (SHARED[: X.size].reshape(X.shape), W, None, OVER),
    "out beside the input": (SHARED[: X.size].reshape(X.shape), W, None, BESIDE),
}


def outcome(x, w, bias=None, out=None, **parameters):
    """What a call comes to: its result, or its error."""
    try:
        return gpuconv.conv2d(x, w, bias, out=out, **parameters).copy()
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("given", [None, OUT], ids=["fresh", "out"])
@pytest.mark.parametrize("what", UNLIKE)
def test_a_call_unlike_a_familiar_one_is_seen_to_be(what, given, learned):
    expected = outcome(*UNLIKE[what])
    calls._known.clear()
    for _ in range(3):
        gpuconv.conv2d(X, W, out=given)
        gpuconv.plan_conv2d(X, W)(X, W, out=given)
    assert len(familiar()) == 1
    assert len({str(each) for each in (outcome(*UNLIKE[what]), outcome(*UNLIKE[what]), expected)}) == 1


@pytest.mark.parametrize("what", UNLIKE)
def test_a_plan_sees_what_is_unlike_its_last_call(what):
    def planned(plan):
        try:
            x, w, *others = UNLIKE[what]
            bias, out = (*others, None, None)[:2]
            return str(plan(x, w, bias, out=out))
        except (TypeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"

    expected = planned(gpuconv.plan_conv2d(X, W))
    plan = gpuconv.plan_conv2d(X, W)
    for out in (None, OUT):
        for _ in range(4):
            plan(X, W, out=out)
        assert plan._familiar.recognize((X, W, None, None, out), ())
        assert planned(plan) == expected


def test_an_array_changed_in_place_is_seen_to_be(learned):
    x, out = X.copy(), OUT.copy()
    for _ in range(3):
        gpuconv.conv2d(x, W, out=out)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        gpuconv.conv2d(x, W, out=out)
    out.flags.writeable = True
    x.dtype = np.int32
    with pytest.raises((TypeError, ValueError), match="input must be"):
        gpuconv.conv2d(x, W, out=out)


def test_a_familiar_call_with_equal_parameters_made_anew(learned):
    plain, pair = [1, 1], (1.0, True)
    for _ in range(4):
        expected = gpuconv.conv2d(X, W, padding=tuple(plain))
    [[(recognize, *_)]] = familiar()
    arrays = X, W, None, None, None
    assert recognize(arrays, (1, tuple(plain), 1, 1, "zeros", None, None)) == replay.ARRAYS
    assert recognize((X, W, None, None, OUT), ()) == replay.OTHER
    np.testing.assert_array_equal(gpuconv.conv2d(X, W, padding=(1, 1)), expected)
    with pytest.raises(TypeError, match="padding must be an integer"):
        gpuconv.conv2d(X, W, padding=pair)
    assert len(learned) == 2


def test_where_fields_of_arrays_are_hidden_no_call_is_familiar(learned, monkeypatch):
    monkeypatch.setattr(again, "_can_be_read", lambda: False)
    for _ in range(4):
        y = gpuconv.conv2d(X, W)
    np.testing.assert_array_equal(y, gpuconv.conv2d(X, W, algorithm="conv_direct"))
    assert familiar() == [] and len(learned) == 2


def test_the_fields_of_arrays_and_tuples_are_known_here(monkeypatch):
    assert objects.fields_are_known()
    for name in ("TYPE", "DATA", "AXES", "SHAPE", "STRIDES", "DTYPE", "ITEMS"):
        with monkeypatch.context() as patch:
            patch.setattr(objects, name, getattr(objects, name) - 8)
            assert not objects.fields_are_known(), name


def test_few_of_the_familiar_calls_that_are_alike_are_kept(learned):
    for channels in range(1, 8):
        for _ in range(3):
            gpuconv.conv2d(X, np.ones((channels, 6, 3, 3), np.float32))
    assert [len(alike) for alike in familiar()] == [calls.ALIKE]


def test_a_bounded_number_is_kept(learned, monkeypatch):
    monkeypatch.setattr(calls, "CALLS", 3)
    for height in range(2, 7):
        for _ in range(2):
            gpuconv.max_pool2d(np.zeros((1, 1, height, 4), np.float32), 2)
    assert len(calls._known) == 3 and len(familiar()) == 2
    gpuconv.max_pool2d(np.zeros((1, 1, 6, 4), np.float32), 2)
    assert len(learned) == 5
    gpuconv.max_pool2d(np.zeros((1, 1, 2, 4), np.float32), 2)
    assert len(learned) == 6


def test_other_settings_are_heard_of(learned, threads):
    gpuconv.conv2d(X, W)
    threads(gpuconv.get_num_threads() + 1)
    gpuconv.conv2d(X, W)
    gpuconv.set_workspace_limit(1 << 20)
    try:
        gpuconv.conv2d(X, W)
        gpuconv.set_precision("ieee")
        gpuconv.conv2d(X, W)
    finally:
        gpuconv.set_workspace_limit(64 << 20)
        gpuconv.set_precision(None)
    assert len(learned) == 4


def test_no_array_is_kept_alive(learned):
    x, w = X.copy(), W.copy()
    y = gpuconv.conv2d(x, w)
    alive = [weakref.ref(array) for array in (x, w, y)]
    del x, w, y
    gc.collect()
    assert [array() for array in alive] == [None] * 3


def test_threads_do_not_mix_their_arrays(learned):
    images = [integers((2, 6, 9, 7), "float32", seed) for seed in range(40)]
    expected = [gpuconv.conv2d(image, W, algorithm="conv_direct") for image in images]
    with ThreadPoolExecutor(4) as pool:
        for got, wanted in zip(pool.map(lambda x: gpuconv.conv2d(x, W), images), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("function", [gpuconv.conv2d, gpuconv.max_pool2d], ids=lambda each: each.__name__)
@pytest.mark.parametrize("given", ["out", "fresh"])
def test_what_a_warm_call_costs_the_host(function, given):
    """Counts, which do not depend on the clock."""
    x = np.ones((1, 3, 8, 8), np.float32)
    rest = (np.ones((4, 3, 3, 3), np.float32),) if function is gpuconv.conv2d else (2,)
    keywords = {"out": function(x, *rest)} if given == "out" else {}
    for _ in range(3):
        function(x, *rest, **keywords)
    found = [each for each in python_calls(lambda: function(x, *rest, **keywords)) if "tests" not in each[0]]
    assert len(found) <= PYTHON_CALLS, found
    assert len({file for file, _ in found}) <= FILES, found


def python_calls(function):
    """(file, name) of each Python function that is called, the function itself first."""
    found = []

    def note(frame, event, argument):
        if event == "call":
            found.append((frame.f_code.co_filename, frame.f_code.co_name))

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize("name", ["stride", "padding", "dilation", "groups", "activation", "precision"])
def test_what_has_no_hash_is_refused_by_name(name):
    """Of a timedelta64 without a unit NumPy raises a ValueError of its own."""
    with pytest.raises((TypeError, ValueError), match=f"{name} must be .*timedelta64"):
        gpuconv.conv2d(X, W, **{name: np.timedelta64(1)})


VAST = 2**31 - 1
INDICES = np.zeros(X.shape, np.int64)


@pytest.mark.parametrize(
    ("function", "arrays", "parameters"),
    [
        (gpuconv.conv2d, (X, W), {"padding": VAST}),
        (gpuconv.plan_conv2d, (X, W), {"padding": VAST}),
        (gpuconv.conv_transpose2d, (X, W.swapaxes(0, 1)), {"stride": VAST}),
        (gpuconv.conv_transpose2d, (X, W.swapaxes(0, 1)), {"dilation": VAST}),
        (gpuconv.unfold, (X,), {"kernel_size": 1, "padding": VAST}),
        (gpuconv.max_unpool2d, (X, INDICES), {"kernel_size": VAST}),
        (gpuconv.fold, (X[:, :, 0, :4],), {"output_size": VAST, "kernel_size": (2, 1), "stride": VAST - 2}),
        (gpuconv.grad.max_pool2d, (X, INDICES), {"input_size": (2, 6, VAST, VAST)}),
    ],
)
def test_a_result_beyond_any_memory_is_refused(function, arrays, parameters):
    """By what it follows from; NumPy says only that an array is too big, and CuPy nothing of the kind."""
    with pytest.raises(ValueError, match=r"has a result of shape \(.*\), beyond") as caught:
        function(*arrays, **parameters)
    assert all(f"{name}={value!r}" in str(caught.value) for name, value in parameters.items())
    assert f"of shape {arrays[0].shape} with " in str(caught.value)
