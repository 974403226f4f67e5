"""Arrays on a GPU, played by stand-ins: which library, device, stream and engine a call ends up with."""

import sys
from types import ModuleType

import numpy as np
import pytest

import gpuconv
from gpuconv import call as calls
from gpuconv.arrays import DeviceArray, library_of
from tests import fakes
from tests.cases import BFLOAT16, integers

X, W = integers((2, 3, 5, 6), "float32"), integers((4, 3, 2, 2), "float32", 1)
OUT_SHAPE = (2, 4, 4, 5)


@pytest.fixture
def engine(monkeypatch):
    """A GPU engine, with CuPy beside it, and a memory of calls that is empty."""
    engine = fakes.Engine()
    monkeypatch.setattr(calls, "_known", {})
    monkeypatch.setitem(sys.modules, "gpuconv.cuda", engine)
    monkeypatch.setitem(sys.modules, "cupy", fakes.cupy_module())
    monkeypatch.setitem(sys.modules, "numba.cuda", fakes.numba_cuda_module())
    return engine


@pytest.fixture
def no_engine(monkeypatch):
    """CuPy, and no GPU engine: `None` in sys.modules makes an import fail."""
    monkeypatch.setitem(sys.modules, "gpuconv.cuda", None)
    monkeypatch.setitem(sys.modules, "cupy", fakes.cupy_module())


def view(array):
    return library_of(array, "input").view(array)


KINDS = {
    "CuPy": fakes.FakeCuPyArray,
    "Numba": fakes.FakeNumbaArray,
    "interface": fakes.CudaInterface,
    "DLPack": lambda host, device=0: fakes.DLPack(host, 2, device),
}
RESULTS = {name: "FakeNumbaArray" if name == "Numba" else "ndarray" for name in KINDS}

over_kinds = pytest.mark.parametrize("kind", KINDS)


@over_kinds
@pytest.mark.parametrize("device", [0, 1])
def test_convolution_on_the_arrays_own_device(kind, device, engine):
    make = KINDS[kind]
    bias = np.ones(4, np.float32)
    y = gpuconv.conv2d(make(X, device), make(W, device), make(bias, device), padding=1, algorithm="forced")
    [call] = engine.calls
    assert [array.pointer for array in (call.x, call.w, call.bias)] == [a.ctypes.data for a in (X, W, bias)]
    assert {array.device for array in (call.x, call.w, call.bias, call.y)} == {device}
    assert (call.x.shape, call.x.strides, call.x.dtype) == (X.shape, X.strides, X.dtype)
    assert (call.algorithm, call.spec.pads) == ("forced", ((1, 1), (1, 1)))
    assert call.y.shape == call.spec.out_shape == (2, 4, 6, 7)
    assert type(y).__qualname__ == RESULTS[kind]
    assert y.host.dtype == np.float32
    assert (y.host == 42).all()


@over_kinds
def test_pools(kind, engine):
    x = KINDS[kind](X)
    y, indices = gpuconv.max_pool2d(x, 2, return_indices=True)
    assert (y.host.shape, indices.host.shape) == ((2, 3, 2, 3),) * 2
    assert (y.host.dtype, indices.host.dtype) == (np.float32, np.int64)
    assert gpuconv.avg_pool2d(x, 2).host.shape == (2, 3, 2, 3)
    assert [call.spec.reduction for call in engine.calls] == ["max", "mean"]
    assert engine.calls[1].indices is None


@over_kinds
def test_pools_of_float16(kind, engine):
    x = X.astype("float16")
    y = gpuconv.max_pool2d(KINDS[kind](x), 2)
    [call] = engine.calls
    assert (call.spec.dtype, call.x.dtype, call.y.dtype, y.host.dtype) == ("float16",) * 4
    assert (call.x.strides, call.y.strides) == (x.strides, y.host.strides)
    with pytest.raises(TypeError, match="out must have the input's dtype float16, got float32"):
        gpuconv.max_pool2d(KINDS[kind](x), 2, out=KINDS[kind](np.zeros((2, 3, 2, 3), np.float32)))


@pytest.mark.parametrize("kind", ["CuPy", "DLPack"])
def test_pools_of_bfloat16(kind, engine):
    y = gpuconv.avg_pool2d(KINDS[kind](X.astype(BFLOAT16)), 2)
    [call] = engine.calls
    assert (call.spec.dtype, call.x.dtype, call.y.dtype, y.host.dtype) == ("bfloat16", *[BFLOAT16] * 3)


def test_an_interface_says_nothing_of_bfloat16_and_the_array_may(engine):
    array = fakes.CudaInterface(X.astype(BFLOAT16))
    assert array.__cuda_array_interface__["typestr"] == "<V2"
    with pytest.raises(TypeError, match="or uint64, got dtype void16"):
        gpuconv.max_pool2d(array, 2)
    array.dtype = BFLOAT16
    assert gpuconv.max_pool2d(array, 2).host.dtype == BFLOAT16


@over_kinds
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "uint8"])
def test_convolutions_of_other_dtypes(kind, dtype, engine):
    if kind not in ("CuPy", "DLPack") and dtype == "bfloat16":
        return  # CUDA's array interface does not name it
    x, w = (KINDS[kind](array.astype(dtype)) for array in (X, W))
    y = gpuconv.conv2d(x, w)
    assert y.host.dtype == ("int32" if dtype == "uint8" else dtype)
    (call,) = engine.calls
    assert (call.spec.dtype, call.x.dtype, call.y.dtype) == (dtype, x.host.dtype, y.host.dtype)


@over_kinds
def test_an_unbatched_image(kind, engine):
    make = KINDS[kind]
    y = gpuconv.conv2d(make(X[0]), make(W))
    [call] = engine.calls
    assert (call.x.shape, call.x.strides[1:]) == ((1, *X.shape[1:]), X.strides[1:])
    assert call.y.shape == (1, *OUT_SHAPE[1:])
    assert y.host.shape == OUT_SHAPE[1:]


@over_kinds
def test_strides_in_bytes(kind, engine):
    strided = X[:, ::2, ::-1, 1:]
    if kind == "DLPack":
        strided = X[:, ::2, :, 1:]  # DLPack exchanges no negative strides with NumPy
    gpuconv.max_pool2d(KINDS[kind](strided), 2)
    [call] = engine.calls
    assert (call.x.shape, call.x.strides) == (strided.shape, strided.strides)
    assert call.x.pointer == strided.ctypes.data


def test_streams(engine):
    assert view(fakes.FakeCuPyArray(X)).stream == fakes.CURRENT_STREAM[0]
    assert view(fakes.FakeCuPyArray(X, 1)).stream == fakes.CURRENT_STREAM[1]
    assert view(fakes.CudaInterface(X, stream=9)).stream == 9
    assert view(fakes.CudaInterface(X, stream=1)).stream == 0  # the legacy stream
    assert view(fakes.FakeNumbaArray(X, stream=1)).stream == 0
    assert view(fakes.CudaInterface(X, stream=2)).stream == 2  # each thread's own
    assert view(fakes.CudaInterface(X, 1)).stream == fakes.CURRENT_STREAM[1]
    assert view(fakes.FakeNumbaArray(X, stream=9)).stream == 9
    assert view(fakes.FakeNumbaArray(X)).stream == 0
    assert view(fakes.DLPack(X, 2, 1)).stream == fakes.CURRENT_STREAM[1]


def test_an_interface_without_strides_is_contiguous(engine):
    assert view(fakes.CudaInterface(X)).strides == X.strides


def test_an_empty_array_with_no_pointer(engine):
    empty = fakes.CudaInterface(X[:0], data=(0, False))
    assert view(empty) == DeviceArray(0, (0, 3, 5, 6), X.strides, X.dtype, 0, 70, True, empty)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": object()}, "input cannot be read: masked arrays are not supported"),
        ({"typestr": "what"}, "input cannot be read: .*what"),
        ({"strides": (4,)}, "input cannot be read: it has 1 strides for 4 axes"),
        ({"data": ("here", False)}, "input cannot be read: 'str' object"),
        ({"data": ()}, "input cannot be read: not enough values"),
    ],
)
def test_interfaces_that_cannot_be_read(changes, message, engine):
    with pytest.raises(TypeError, match=message):
        gpuconv.max_pool2d(fakes.CudaInterface(X, **changes), 2)


@pytest.mark.parametrize("missing", ["data", "shape", "typestr"])
def test_interfaces_that_lack_a_field(missing, engine):
    array = fakes.CudaInterface(X)
    del array.__cuda_array_interface__[missing]
    with pytest.raises(TypeError, match=f"input cannot be read: '{missing}'"):
        gpuconv.max_pool2d(array, 2)


def test_an_interface_that_is_no_dictionary(engine):
    array = fakes.CudaInterface(X)
    array.__cuda_array_interface__ = 7
    with pytest.raises(TypeError, match="input cannot be read: its __cuda_array_interface__ is not a dict"):
        gpuconv.max_pool2d(array, 2)


def test_devices_that_are_neither_cpu_nor_cuda(engine):
    with pytest.raises(TypeError, match="input cannot be read: its DLPack device type is 10"):
        gpuconv.max_pool2d(fakes.DLPack(X, 10), 2)


def test_a_property_that_raises_does_not_decide_what_an_array_is(engine):
    """torch's CUDA tensors that require grad have such a property, and under no_grad they can be used."""

    class Tensor(fakes.FakeCuPyArray):
        __cuda_array_interface__ = property(lambda self: (_ for _ in ()).throw(RuntimeError("requires grad")))

        def __init__(self, host):
            self.host = host

        __dlpack__, __dlpack_device__ = fakes.DLPack.__dlpack__, fakes.DLPack.__dlpack_device__

    Tensor.__module__ = "torch"
    assert library_of(Tensor(X), "input").name == "torch"


@over_kinds
@pytest.mark.parametrize("moved", ["weight", "bias", "out"])
def test_two_devices_in_one_call_are_refused(kind, moved, engine):
    make = KINDS[kind]
    hosts = {"input": X, "weight": W, "bias": np.ones(4, np.float32), "out": np.ones(OUT_SHAPE, np.float32)}
    arrays = {name: make(host, int(name == moved)) for name, host in hosts.items()}
    with pytest.raises(ValueError, match=f"{moved} is on GPU 1 and input on GPU 0: nothing is moved"):
        gpuconv.conv2d(**arrays)
    assert engine.calls == []


@pytest.mark.parametrize("kind", ["CuPy", "Numba", "interface"])
def test_two_libraries_in_one_call_are_refused(kind, engine):
    library = library_of(KINDS[kind](X), "input").name
    with pytest.raises(TypeError, match=f"weight is of NumPy and input of {library}: the arrays"):
        gpuconv.conv2d(KINDS[kind](X), W)
    with pytest.raises(TypeError, match=f"weight is of {library} and input of NumPy: the arrays"):
        gpuconv.conv2d(X, KINDS[kind](W))
    assert engine.calls == []


def test_dlpack_objects_on_two_devices_are_refused(engine):
    with pytest.raises(ValueError, match="weight is on the CPU and input on GPU 0"):
        gpuconv.conv2d(fakes.DLPack(X, 2), fakes.DLPack(W, 1))


@over_kinds
def test_out_is_filled_and_returned(kind, engine):
    out = KINDS[kind](np.zeros(OUT_SHAPE, np.float32))
    assert gpuconv.conv2d(KINDS[kind](X), KINDS[kind](W), out=out) is out
    assert (out.host == 42).all()


@pytest.mark.parametrize("kind", ["interface", "DLPack"])
def test_out_may_be_of_the_library_that_results_are_of(kind, engine):
    out = fakes.FakeCuPyArray(np.zeros(OUT_SHAPE, np.float32))
    assert gpuconv.conv2d(KINDS[kind](X), KINDS[kind](W), out=out) is out


WRONG_OUTS = {
    "has another shape": (
        lambda: np.zeros((2, 4, 5, 4), np.float32),
        ValueError,
        "out must have the result's",
    ),
    "has another dtype": (lambda: np.zeros(OUT_SHAPE), TypeError, "out must have the input's dtype float32"),
    "shares memory": (
        lambda: np.lib.stride_tricks.as_strided(np.zeros(999, np.float32), OUT_SHAPE, (80, 20, 4, 4)),
        ValueError,
        "out has elements that share memory",
    ),
}


@pytest.mark.parametrize("kind", ["CuPy", "Numba", "interface"])
@pytest.mark.parametrize("wrong", WRONG_OUTS)
def test_wrong_out(kind, wrong, engine):
    host, error, message = WRONG_OUTS[wrong]
    with pytest.raises(error, match=message):
        gpuconv.conv2d(KINDS[kind](X), KINDS[kind](W), out=KINDS[kind](host()))
    assert engine.calls == []


def test_a_read_only_out_is_refused(engine):
    out = np.zeros(OUT_SHAPE, np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        gpuconv.conv2d(fakes.CudaInterface(X), fakes.CudaInterface(W), out=fakes.CudaInterface(out))


@pytest.mark.parametrize("kind", ["CuPy", "interface"])
def test_overlap_is_exact(kind, engine):
    make = KINDS[kind]
    both = np.zeros((2, 6, 4, 4), np.float32)
    out = make(both[:, 1::2])
    assert gpuconv.max_pool2d(make(both[:, ::2]), 1, out=out) is out
    with pytest.raises(ValueError, match="out overlaps input in memory"):
        gpuconv.max_pool2d(make(both[:, :3]), 1, out=out)


def test_elements_that_a_gpu_cannot_address_are_refused(engine):
    unaligned = np.zeros(X.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(X.shape)
    uneven = np.zeros(X.shape, [("value", "f4"), ("more", "i1")])["value"]  # 5 bytes apart
    for host in (unaligned, uneven):
        with pytest.raises(ValueError, match="input has elements that do not lie on multiples of their size"):
            gpuconv.max_pool2d(fakes.CudaInterface(host), 2)


def test_a_refusal_of_the_engine_reaches_the_user(engine):
    engine.refusal = RuntimeError("this process was forked after CUDA had started")
    with pytest.raises(RuntimeError, match="forked"):
        gpuconv.max_pool2d(fakes.FakeCuPyArray(X), 2)
    assert engine.calls == []


@over_kinds
def test_a_missing_engine_names_the_command_that_installs_it(kind, no_engine):
    with pytest.raises(ImportError, match=r"pip install 'gpuconv\[cuda13\]' \(or \[cuda12\]"):
        gpuconv.max_pool2d(KINDS[kind](X), 2)


@pytest.mark.parametrize("kind", ["interface", "DLPack"])
def test_a_missing_cupy_names_the_command_that_installs_it(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"pip install 'gpuconv\[cuda13\]'"):
        gpuconv.max_pool2d(KINDS[kind](X), 2)


def test_an_array_on_the_cpu_needs_no_engine(no_engine):
    assert gpuconv.max_pool2d(X, 2).shape == (2, 3, 2, 3)
    assert gpuconv.max_pool2d(fakes.DLPack(X), 2).shape == (2, 3, 2, 3)


@over_kinds
@pytest.mark.parametrize("stream", [70, 9])
def test_a_library_says_whether_its_memory_is_ordered_on_a_stream(kind, stream, engine):
    """70 is the current stream of device 0: CuPy hands memory out again on the stream that it is from."""
    library = library_of(KINDS[kind](X), "input")
    assert library.orders(0, stream) == (kind != "Numba" and stream == 70)
    pointer, memory = library.scratch(100, 0)
    assert (memory.host.shape, memory.host.dtype) == ((100,), np.dtype("float32"))
    assert pointer == memory.host.ctypes.data


@over_kinds
def test_a_plan_that_works_in_memory_gets_it_behind_the_arrays(kind, engine):
    engine.scratch = 100
    make = KINDS[kind]
    for _ in range(2):
        gpuconv.conv2d(make(X), make(W))
    assert all(len(call.scratch) == 1 and call.scratch[0] for call in engine.calls)


def test_the_legacy_stream_is_one_by_either_name(engine, monkeypatch):
    monkeypatch.setitem(fakes.CURRENT_STREAM, 0, 0)
    gpuconv.conv2d(fakes.CudaInterface(X, stream=1), fakes.CudaInterface(W, stream=1))
    assert engine.waited == [] and engine.calls[0].stream == 0


@pytest.fixture
def jax_array(monkeypatch):
    """`jax_array(host)`: an array as JAX's are on a GPU, which speak DLPack and are immutable."""
    members = {"__module__": "jaxlib._jax", "is_deleted": lambda self: False}
    kind = type("ArrayImpl", (fakes.DLPack,), members)
    numpy = ModuleType("jax.numpy")
    numpy.from_dlpack = lambda array: array
    monkeypatch.setitem(sys.modules, "jax.numpy", numpy)
    return lambda host: kind(host, 2, 0)


def test_an_array_of_jax_is_no_out(engine, jax_array):
    out = np.zeros(OUT_SHAPE, np.float32)
    with pytest.raises(ValueError, match="out is read-only"):
        gpuconv.conv2d(jax_array(X), jax_array(W), out=jax_array(out))
    assert engine.calls == [] and not out.any()


def test_a_dlpack_object_that_says_it_is_immutable_is_no_out(engine):
    out = np.zeros(OUT_SHAPE, np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        gpuconv.conv2d(fakes.DLPack(X, 2), fakes.DLPack(W, 2), out=fakes.DLPack(out, 2))
    assert engine.calls == []


def test_a_dlpack_object_of_before_1_0_says_nothing_and_is_written_to(engine):
    class Old(fakes.DLPack):
        def __dlpack__(self, stream=None):
            return self.host.__dlpack__()

    out = Old(np.zeros(OUT_SHAPE, np.float32), 2)
    assert gpuconv.conv2d(fakes.DLPack(X, 2), fakes.DLPack(W, 2), out=out) is out
    assert (out.host == 42).all()


def test_a_dlpack_object_that_hands_out_a_copy_is_no_out(engine):
    class Copying(fakes.DLPack):
        def __dlpack__(self, **keywords):
            return self.host.copy().__dlpack__(**keywords)

    out = Copying(np.zeros(OUT_SHAPE, np.float32), 2)
    with pytest.raises(TypeError, match="out cannot be written to: its __dlpack__ hands out a copy"):
        gpuconv.conv2d(fakes.DLPack(X, 2), fakes.DLPack(W, 2), out=out)
    assert engine.calls == []


def test_memory_that_others_order_is_held_until_the_kernel_is_through(engine, jax_array):
    for _ in range(2):
        gpuconv.conv2d(jax_array(X), jax_array(W))
    assert [(ordinal, stream) for _, ordinal, stream in engine.held] == [(0, 70)] * 2
    assert [[owner.host is host for owner, host in zip(owners, (X, W), strict=True)]
            for owners, *_ in engine.held] == [[True] * 2] * 2  # fmt: skip


@pytest.mark.parametrize(("kind", "count"), [("CuPy", 0), ("Numba", 0), ("interface", 1), ("DLPack", 1)])
def test_of_what_libraries_arrays_are_held(kind, count, engine):
    x = KINDS[kind](X)
    gpuconv.max_pool2d(x, 2)
    assert [len(owners) for owners, *_ in engine.held] == [1] * count
    if kind == "interface":
        assert engine.held[0][0] == (x,)


def test_a_call_waits_for_the_streams_of_others(engine):
    x, w = fakes.CudaInterface(X, stream=9), fakes.CudaInterface(W, stream=8)
    for _ in range(2):
        gpuconv.conv2d(x, w)
        assert sorted(engine.waited) == [(8, 70, 0), (9, 70, 0)]
        engine.waited.clear()
    out = fakes.CudaInterface(np.zeros(OUT_SHAPE, np.float32), stream=9)
    gpuconv.conv2d(x, w, out=out)
    assert engine.waited == [(8, 9, 0)] and engine.calls[-1].stream == 9


@over_kinds
def test_a_call_made_again_is_learned_once_for_every_library(kind, engine, monkeypatch):
    learned = []
    understand = calls.understand_signatures
    monkeypatch.setattr(calls, "understand_signatures", lambda *a: learned.append(a) or understand(*a))
    monkeypatch.setattr(calls, "_known", {})
    make = KINDS[kind]
    for _ in range(3):
        x, w = X.copy(), W.copy()
        y = gpuconv.conv2d(make(x), make(w))
        assert [engine.calls[-1].x.pointer, engine.calls[-1].w.pointer] == [x.ctypes.data, w.ctypes.data]
        assert engine.calls[-1].y.pointer == y.host.ctypes.data
    assert len(learned) == 1


@pytest.mark.gpu
def test_cupy_arrays_on_a_real_device():
    import cupy

    y = gpuconv.conv2d(cupy.asarray(X), cupy.asarray(W))
    assert isinstance(y, cupy.ndarray)
    np.testing.assert_array_equal(cupy.asnumpy(y), gpuconv.conv2d(X, W))


FOREIGN = ("cupy", "torch", "jax", "numba.cuda", "numba", "cuda")
LOADED = f"import sys; print([name for name in {FOREIGN!r} if name in sys.modules])"


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import gpuconv", []),
        ("import gpuconv, gpuconv.api, gpuconv.spec, gpuconv.arrays, gpuconv.algorithm, gpuconv.threads", []),
        ("import numpy, gpuconv; gpuconv.max_pool2d(numpy.ones((1, 1, 2, 2)), 2)", ["numba"]),
    ],
)
def test_what_an_import_and_a_call_on_numpy_arrays_load(code, loaded, fresh_python):
    assert fresh_python(f"{code}; {LOADED}") == str(loaded)
