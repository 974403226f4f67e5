"""Calls under transformations of torch, which see its operators alone: refused before anything is done."""

import warnings

import numpy as np
import pytest

import gpuconv
from tests.cases import integers

torch = pytest.importorskip("torch")
func = pytest.importorskip("torch.func")
forward_ad = pytest.importorskip("torch.autograd.forward_ad")
make_fx = pytest.importorskip("torch.fx.experimental.proxy_tensor").make_fx
FakeTensorMode = pytest.importorskip("torch._subclasses.fake_tensor").FakeTensorMode

X, W = (
    torch.from_numpy(integers((2, 3, 5, 6), "float32", 1)),
    torch.from_numpy(integers((4, 3, 2, 2), "float32")),
)
EXPECTED = gpuconv.max_pool2d(X, 2)


def pool(x):
    return gpuconv.max_pool2d(x, 2)


def pool_that_is_not_transformed(x):
    return x.sum() + gpuconv.max_pool2d(X, 2).sum()


TRANSFORMED = {
    "functionalize": (lambda f: func.functionalize(f)(X), "torch.func.functionalize"),
    "grad": (lambda f: func.grad(lambda x: f(x).sum())(X), "torch.func.grad, vjp or jacrev"),
    "vjp": (lambda f: func.vjp(f, X), "torch.func.grad, vjp or jacrev"),
    "jacrev": (lambda f: func.jacrev(f)(X), "torch.func.grad, vjp or jacrev"),
    "jvp": (lambda f: func.jvp(f, (X,), (X,)), "torch.func.jvp or jacfwd"),
    "jacfwd": (lambda f: func.jacfwd(f)(X), "torch.func.jvp or jacfwd"),
    "vmap": (lambda f: func.vmap(f)(X), "torch.func.vmap"),
    "vmap of grad": (lambda f: func.vmap(func.grad(lambda x: f(x).sum()))(X), "torch.func.grad"),
    "grad of vmap": (lambda f: func.grad(lambda x: func.vmap(f)(x).sum())(X), "torch.func.grad"),
    "make_fx": (lambda f: make_fx(f)(X), "make_fx"),
    "make_fx of functionalize": (lambda f: make_fx(func.functionalize(f))(X), "make_fx"),
    "trace": (lambda f: torch.jit.trace(f, X, check_trace=False), "torch.jit.trace"),
}
over_transforms = pytest.mark.parametrize("transform", TRANSFORMED)


@over_transforms
def test_a_transformed_call_is_refused(transform):
    """Also a call that was made before, outside."""
    pool(X), pool(X)
    run, name = TRANSFORMED[transform]
    with pytest.raises(TypeError, match=f"^input is passed under {name}.*gpuconv.torch"):
        run(pool)
    assert torch.equal(pool(X), EXPECTED)


@pytest.mark.parametrize("transform", sorted(set(TRANSFORMED) - {"vmap"}))
def test_so_is_one_of_other_tensors(transform):
    """Whose result such a transformation replaces, or takes for a constant."""
    run, name = TRANSFORMED[transform]
    with pytest.raises(TypeError, match=f"^input is passed under {name}"):
        run(pool_that_is_not_transformed)


def test_vmap_leaves_other_tensors_alone():
    expected = X.sum((1, 2, 3)) + EXPECTED.sum()
    assert torch.equal(func.vmap(pool_that_is_not_transformed)(X), expected)


@pytest.mark.parametrize("name", ["weight", "bias", "out"])
def test_the_argument_that_is_transformed_is_named(name):
    arrays = {"weight": W[None], "bias": torch.zeros(1, 4), "out": torch.zeros(1, 2, 4, 4, 5)}

    def convolve(array):
        return gpuconv.conv2d(**{"input": X, "weight": W, name: array})

    with pytest.raises(TypeError, match=f"^{name} is passed under torch.func.vmap"):
        func.vmap(convolve)(arrays[name])


def test_nothing_is_written_before_it_is_refused():
    out = torch.full_like(EXPECTED, 7)
    for transform in ("functionalize", "make_fx", "trace", "jvp"):
        with pytest.raises(TypeError, match="passed under"):
            TRANSFORMED[transform][0](lambda x: gpuconv.max_pool2d(x, 2, out=out))
    assert (out == 7).all()


def test_a_plan_is_refused_too():
    plan = gpuconv.plan_conv2d(X, W)
    plan(X, W), plan(X, W)
    with pytest.raises(TypeError, match=r"^input is passed under torch.func.functionalize"):
        func.functionalize(lambda x: plan(x, W))(X)


def test_a_tensor_that_was_kept_beyond_vmap():
    kept = []
    func.vmap(lambda x: (kept.append(x), x * 1)[1])(X)
    with pytest.raises(
        TypeError, match=r"input cannot be read: it is of a transformation of torch.func that has"
    ):
        gpuconv.max_pool2d(kept[0], 2)


def test_a_tensor_that_was_kept_beyond_a_gradient():
    kept = []
    func.grad(lambda x: (kept.append(x), x.sum())[1])(X)
    with pytest.raises(TypeError, match=r"input cannot be read: it requires grad.*input.detach\(\)"):
        gpuconv.max_pool2d(kept[0], 2)
    assert torch.equal(gpuconv.max_pool2d(kept[0].detach(), 2), EXPECTED)


def test_a_call_within_an_operator_of_torch_is_made():
    """Which the transformations see."""

    @torch.library.custom_op("gpuconv_tests::pool", mutates_args=())
    def operator(x: torch.Tensor) -> torch.Tensor:
        return gpuconv.max_pool2d(x, 2)

    @operator.register_fake
    def _(x):
        return x.new_empty(*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2)

    assert torch.equal(func.functionalize(operator)(X), EXPECTED)
    assert torch.equal(make_fx(operator)(X)(-X), gpuconv.max_pool2d(-X, 2))
    assert torch.equal(torch.jit.trace(lambda x: operator(x), X)(-X), gpuconv.max_pool2d(-X, 2))


class TestModes:
    def test_fake_tensors(self):
        with FakeTensorMode():
            fakes = [torch.ones(1, 1, 4, 4, device=device) for device in ("cpu", "cuda")]
            with pytest.raises(TypeError, match=r"^input is passed under FakeTensorMode"):
                gpuconv.max_pool2d(X, 2)
        for fake in fakes:
            with pytest.raises(TypeError, match=r"^input is of .*FakeTensor, .*no values: .*gpuconv.torch"):
                gpuconv.max_pool2d(fake, 2)
            with pytest.raises(TypeError, match=r"^weight is of .*FakeTensor"):
                gpuconv.conv2d(X, fake)

    def test_a_proxy_of_fx(self):
        with pytest.raises(TypeError, match=r"^input is of torch.fx.proxy.Proxy, .*gpuconv.torch"):
            torch.fx.symbolic_trace(pool)

    def test_another_default_device(self):
        with torch.device("meta"):
            assert torch.equal(gpuconv.max_pool2d(X, 2), EXPECTED)
            values, indices = gpuconv.max_pool2d(
                X.to(memory_format=torch.channels_last), 2, return_indices=True
            )
        assert torch.equal(values, EXPECTED)
        assert (values.device.type, indices.device.type) == ("cpu", "cpu")

    def test_modes_that_look_on(self):
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False):
            assert torch.equal(gpuconv.max_pool2d(X, 2), EXPECTED)

    @pytest.mark.parametrize("name", ["input", "weight", "bias", "out"])
    def test_a_tangent_is_not_dropped(self, name):
        arrays = {"input": X, "weight": W, "bias": torch.zeros(4), "out": torch.zeros(2, 4, 4, 5)}
        expected = gpuconv.conv2d(X, W)
        gpuconv.conv2d(**arrays)
        with forward_ad.dual_level():
            assert torch.equal(gpuconv.conv2d(X, W), expected)
            arrays[name] = forward_ad.make_dual(arrays[name].clone(), torch.ones_like(arrays[name]))
            with pytest.raises(TypeError, match=f"^{name} has a tangent .*: pass (.*)$") as caught:
                gpuconv.conv2d(**arrays)
            with torch.no_grad(), pytest.raises(TypeError, match=f"^{name} has a tangent"):
                gpuconv.conv2d(**arrays)
            if name == "input":
                hint = str(caught.value).rpartition("pass ")[2]
                assert torch.equal(gpuconv.conv2d(eval(hint, {"torch": torch, **arrays}), W), expected)
            with forward_ad._set_fwd_grad_enabled(False):
                gpuconv.conv2d(**arrays)


class TestOut:
    """What is written to by somebody whom autograd does not know."""

    def test_a_tensor_that_autograd_saved(self):
        x = torch.ones(1, 1, 2, 2, requires_grad=True)
        saved = torch.ones(1, 1, 2, 2)
        y = (x * saved).sum()
        for _ in range(2):
            before = saved._version
            gpuconv.max_pool2d(torch.full((1, 1, 2, 2), 9.0), 1, out=saved)
            assert saved._version == before + 1
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()

    def test_nothing_is_saved_of_what_was_refused(self):
        out = torch.zeros(1, 1, 3, 3)
        with pytest.raises(ValueError, match="out"):
            gpuconv.max_pool2d(torch.ones(1, 1, 2, 2), 1, out=out)
        assert out._version == 0

    def test_an_inference_tensor(self):
        with torch.inference_mode():
            x, out = X.clone(), torch.zeros_like(EXPECTED)
            assert gpuconv.max_pool2d(x, 2, out=out) is out
            assert torch.equal(out, EXPECTED)
            plain = pool(X)
        assert torch.equal(pool(x), EXPECTED)
        assert plain.is_inference()
        with pytest.raises(
            TypeError, match=r"out cannot be written to: .*inference_mode.*: pass out.clone\(\)"
        ):
            gpuconv.max_pool2d(-X, 2, out=out)
        assert torch.equal(out, EXPECTED)

    def test_one_that_requires_grad(self):
        out = torch.zeros_like(EXPECTED, requires_grad=True)
        with pytest.raises(
            TypeError, match=r"out cannot be written to: it requires grad.*pass out.detach\(\)"
        ):
            gpuconv.max_pool2d(X, 2, out=out)
        assert gpuconv.max_pool2d(X, 2, out=out.detach()).data_ptr() == out.data_ptr()
        assert torch.equal(out, EXPECTED)


class TestLazyInputs:
    """Conjugated or negated when they are read."""

    PAIRS = torch.complex(X, 2 * X)
    KERNELS = torch.complex(W, -W)

    @pytest.mark.parametrize("name", ["input", "weight", "bias", "residual"])
    def test_conjugates(self, name):
        y = torch.zeros(2, 4, 4, 5, dtype=torch.complex64)
        arrays = {
            "input": self.PAIRS,
            "weight": self.KERNELS,
            "bias": self.KERNELS[:, 0, 0, 0],
            "residual": y + 1j,
        }
        gpuconv.conv2d(**arrays), gpuconv.conv2d(**arrays)
        resolved = gpuconv.conv2d(**{**arrays, name: arrays[name].conj().resolve_conj()})
        assert torch.equal(gpuconv.conv2d(**{**arrays, name: arrays[name].conj()}), resolved)

    def test_gradients(self):
        grad = self.PAIRS[:, :1, 1:, 1:]
        resolved = grad.conj().resolve_conj()
        assert torch.equal(gpuconv.grad.conv2d_bias(grad.conj()), gpuconv.grad.conv2d_bias(resolved))
        size = 1, 3, 2, 2
        ours = gpuconv.grad.conv2d_weight(self.PAIRS.conj(), size, grad.conj())
        assert torch.equal(ours, gpuconv.grad.conv2d_weight(self.PAIRS.conj().resolve_conj(), size, resolved))

    def test_a_bit_that_appears_after_the_call_was_remembered(self):
        x = self.PAIRS.imag
        pool(x), pool(x)
        assert torch.equal(pool(self.PAIRS.conj().imag), pool(-2 * X))
        assert torch.equal(pool(torch._neg_view(X)), pool(-X))

    def test_an_out_of_the_same_memory_as_a_lazy_input(self):
        """Which is read before it is written to."""
        pairs = self.PAIRS.clone()
        gpuconv.max_pool2d(pairs.conj().imag, 1, out=pairs.imag)
        assert torch.equal(pairs.imag, -2 * X)

    def test_a_tensor_of_zeros_that_has_no_elements(self):
        zeros = torch._efficientzerotensor(2, 3, 4, 4)
        assert torch.equal(pool(zeros), torch.zeros(2, 3, 2, 2))
        with pytest.raises(TypeError, match=r"out .* no elements.*out.clone\(\)"):
            gpuconv.max_pool2d(torch.ones(2, 3, 4, 4), 1, out=zeros)


def nested(layout):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nested tensors are a prototype
        return torch.nested.nested_tensor([X[0], X[0, :, 1:]], layout=getattr(torch, layout))


def of_dtype(name):
    return torch.zeros(1, 1, 4, 4, dtype=torch.uint8).view(getattr(torch, name))


def uninitialized():
    return torch.nn.LazyConv2d(3, 3).weight


def within():
    two = pytest.importorskip("torch.testing._internal.two_tensor").TwoTensor
    return two(X, X)


TAKEN = "taken are float32, float64, float16, bfloat16, "
REFUSED = {
    "sparse": (X.to_sparse, r"layout is torch.sparse_coo.*: pass input.to_dense\(\)"),
    "rows": (lambda: X[0, 0].to_sparse_csr(), r"layout is torch.sparse_csr.*: pass input.to_dense\(\)"),
    "mkldnn": (X.to_mkldnn, r"layout is torch._mkldnn.*: pass input.to_dense\(\)"),
    "meta": (lambda: X.to("meta"), "device is meta, where tensors have no values"),
    "nested": (lambda: nested("strided"), r"it is nested: torch.nested.to_padded_tensor\(input, 0\)"),
    "jagged": (lambda: nested("jagged"), r"it is nested: torch.nested.to_padded_tensor\(input, 0\)"),
    "quantized": (
        lambda: torch.quantize_per_tensor(X, 1.0, 0, torch.quint8),
        r"it is quantized: pass input.dequantize\(\)",
    ),
    "requires grad": (
        lambda: X.clone().requires_grad_(),
        r"it requires grad.*gpuconv.torch.*pass input.detach\(\)",
    ),
    "float8": (lambda: of_dtype("float8_e4m3fn"), rf"e4m3fn, and {TAKEN}.*: pass input.to\(torch.float32\)"),
    "complex32": (
        lambda: torch.zeros(1, 1, 4, 4, dtype=torch.complex32),
        rf"torch.complex32, and {TAKEN}.*: pass input.to\(torch.complex64\)",
    ),
    "bits": (lambda: of_dtype("bits8"), f"torch.bits8, and {TAKEN}.*complex128$"),
    "uninitialized": (uninitialized, "no shape yet"),
    "within": (within, "elements are those of tensors within it"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_tensors_that_are_refused(kind):
    make, message = REFUSED[kind]
    for _ in range(2):
        with pytest.raises(TypeError, match=f"^input .*{message}") as caught:
            gpuconv.max_pool2d(make(), 2)
    assert "issue" not in str(caught.value)


def test_what_they_propose_is_taken():
    assert torch.equal(pool(X.to_sparse().to_dense()), EXPECTED)
    quantized = torch.quantize_per_tensor(X, 1.0, 0, torch.qint8)
    np.testing.assert_array_equal(pool(quantized.dequantize()), EXPECTED)
    assert (pool(of_dtype("float8_e4m3fn").to(torch.float32)) == 0).all()


def test_a_compiled_program_drops_no_gradient():
    """torch.compile follows a call into gpuconv, and takes what a tensor hands to NumPy for a constant."""
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: gpuconv.max_pool2d(x * 1, 2), backend="eager")
    with pytest.raises(TypeError, match="requires grad"):
        compiled(X.clone().requires_grad_())
    with torch.no_grad():
        assert torch.equal(compiled(X.clone().requires_grad_()), EXPECTED)
