"""Arrays of torch and JAX on the CPU, where they are installed; neither is needed to run the other tests."""

import numpy as np
import pytest

import gpuconv
from tests.cases import integers

X, W, BIAS = (integers(shape, "float32", i) for i, shape in enumerate([(2, 3, 5, 6), (4, 3, 2, 2), (4,)]))
EXPECTED = gpuconv.conv2d(X, W, BIAS, padding=1)


class TestTorch:
    torch = None

    @pytest.fixture(autouse=True)
    def installed(self):
        type(self).torch = pytest.importorskip("torch")

    def tensors(self):
        return [self.torch.from_numpy(array.copy()) for array in (X, W, BIAS)]

    def test_tensors_give_tensors(self):
        y = gpuconv.conv2d(*self.tensors(), padding=1)
        assert type(y) is self.torch.Tensor
        assert y.dtype == self.torch.float32
        np.testing.assert_array_equal(y.numpy(), EXPECTED)

    def test_they_agree_with_torch(self):
        x, w, bias = self.tensors()
        nn = self.torch.nn.functional
        assert self.torch.equal(gpuconv.conv2d(x, w, bias, 2, 1, 1), nn.conv2d(x, w, bias, 2, 1, 1))
        assert self.torch.equal(gpuconv.avg_pool2d(x, 3, 2, 1, True), nn.avg_pool2d(x, 3, 2, 1, True))
        for ours, theirs in zip(
            gpuconv.max_pool2d(x, 3, 2, 1, 1, True, True),
            nn.max_pool2d(x, 3, 2, 1, 1, True, True),
            strict=True,
        ):
            assert ours.dtype == theirs.dtype
            assert self.torch.equal(ours, theirs)

    def test_an_empty_stride_of_any_kind(self):
        x = self.tensors()[0]
        for empty in (
            self.torch.Size([]),
            self.torch.tensor([]),
            self.torch.tensor([], dtype=int),
            np.array([]),
        ):
            assert self.torch.equal(gpuconv.max_pool2d(x, 2, empty), gpuconv.max_pool2d(x, 2))

    def test_memory_formats_and_expanded_tensors(self):
        x, w, bias = self.tensors()
        x = x.to(memory_format=self.torch.channels_last)
        np.testing.assert_array_equal(gpuconv.conv2d(x, w, bias, padding=1).numpy(), EXPECTED)
        one = self.torch.ones(1).expand(1, 1, 4, 4)
        assert gpuconv.avg_pool2d(one, 2).tolist() == [[[[1, 1], [1, 1]]]]

    def test_out(self):
        out = self.torch.full(EXPECTED.shape, float("nan"))
        assert gpuconv.conv2d(*self.tensors(), padding=1, out=out) is out
        np.testing.assert_array_equal(out.numpy(), EXPECTED)
        expanded = self.torch.zeros(1).expand(EXPECTED.shape)
        with pytest.raises(ValueError, match="out has elements that share memory"):
            gpuconv.conv2d(*self.tensors(), padding=1, out=expanded)

    def test_a_lazily_negated_tensor(self):
        pairs = self.torch.complex(*[self.torch.from_numpy(X.copy())] * 2)
        x = pairs.conj().imag  # minus X, by a flag
        assert x.is_neg()
        np.testing.assert_array_equal(gpuconv.avg_pool2d(x, 2).numpy(), gpuconv.avg_pool2d(-X, 2))

    @pytest.mark.parametrize(
        ("lazy", "hint"),
        [
            (lambda pairs: pairs.conj().imag, r"negated lazily: pass out.resolve_neg\(\)"),
            (lambda pairs: pairs.conj(), r"conjugated lazily: pass out.resolve_conj\(\)"),
            (lambda pairs: pairs.conj().imag[..., ::2, 1:], "negated lazily"),
        ],
        ids=["negated", "conjugated", "a part"],
    )
    def test_an_out_whose_values_are_lazy_is_refused(self, lazy, hint):
        x = self.torch.ones(1, 1, 8, 8)
        pairs = self.torch.zeros(1, 1, 4, 4, dtype=self.torch.complex64)
        with pytest.raises(TypeError, match=f"out cannot be written to: it is {hint}"):
            gpuconv.max_pool2d(x, 2, out=lazy(pairs))
        plan = gpuconv.plan_conv2d(x, x)
        with pytest.raises(TypeError, match=f"out cannot be written to: it is {hint}"):
            plan(x, x, out=lazy(pairs))
        assert not pairs.any()

    def test_a_lazily_negated_out_and_its_memory_as_input(self):
        pairs = self.torch.ones(1, 1, 4, 4, dtype=self.torch.complex64)
        with pytest.raises(TypeError, match=r"out.resolve_neg\(\)"):
            gpuconv.max_pool2d(pairs.imag, 1, out=pairs.conj().imag)

    def test_an_out_of_bfloat16_is_written_through(self):
        x = self.torch.arange(16.0).reshape(1, 1, 4, 4).bfloat16()
        out = self.torch.zeros(1, 1, 4, 4, dtype=x.dtype)[..., ::2, ::2]
        assert gpuconv.max_pool2d(x, 2, out=out) is out
        assert out.tolist() == [[[[5, 7], [13, 15]]]]

    def test_gradients_are_not_dropped_silently(self):
        x, w, _ = self.tensors()
        w.requires_grad_()
        with pytest.raises(TypeError, match=r"weight cannot be read: it requires grad.*detach\(\)"):
            gpuconv.conv2d(x, w)
        with self.torch.no_grad():
            y = gpuconv.conv2d(x, w)
        assert not y.requires_grad
        assert self.torch.equal(y, gpuconv.conv2d(x, w.detach()))
        assert self.torch.equal(y, gpuconv.conv2d(x, self.torch.nn.Parameter(w.data, requires_grad=False)))

    def test_a_dtype_that_is_not_taken(self):
        with pytest.raises(
            TypeError, match=r"input must be .*, got dtype bool: pass input.to\(torch.float32\)"
        ):
            gpuconv.max_pool2d(self.tensors()[0] > 0, 2)

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_pools_of_16_bits_agree_with_torch(self, dtype):
        x = self.torch.randn(2, 3, 9, 10, generator=self.torch.manual_seed(1)).to(getattr(self.torch, dtype))
        nn = self.torch.nn.functional
        for ours, theirs in zip(
            gpuconv.max_pool2d(x, 3, 2, 1, return_indices=True),
            nn.max_pool2d(x, 3, 2, 1, return_indices=True),
            strict=True,
        ):
            assert ours.dtype == theirs.dtype
            assert self.torch.equal(ours, theirs)
        means = gpuconv.avg_pool2d(x, 3, 2, 1)
        assert means.dtype == x.dtype
        assert self.torch.equal(means, nn.avg_pool2d(x.float(), 3, 2, 1).to(x.dtype))

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_convolutions_of_16_bits_agree_with_torch(self, dtype):
        kind, seed = getattr(self.torch, dtype), self.torch.manual_seed(1)
        x, w, b = (self.torch.randn(*shape, generator=seed) for shape in ((2, 3, 9, 10), (4, 3, 3, 3), (4,)))
        x, w, b = x.to(kind), w.to(kind), b.to(kind)
        nn, close = self.torch.nn.functional, self.torch.testing.assert_close
        y = gpuconv.conv2d(x, w, b, 2, 1)
        assert y.dtype == kind
        assert self.torch.equal(y, nn.conv2d(x.double(), w.double(), b.double(), 2, 1).to(kind))
        close(y, nn.conv2d(x, w, b, 2, 1))
        dx = gpuconv.grad.conv2d_input(x.shape, w, y, 2, 1)
        close(dx, self.torch.nn.grad.conv2d_input(x.shape, w.float(), y.float(), 2, 1).to(kind))
        with pytest.raises(TypeError, match=f"weight must have the input's dtype {dtype}, got float32"):
            gpuconv.conv2d(x, w.float())

    def test_tensors_and_numpy_arrays_do_not_mix(self):
        with pytest.raises(TypeError, match="weight is of NumPy and input of torch"):
            gpuconv.conv2d(self.tensors()[0], W)
        with pytest.raises(TypeError, match="out is of torch and input of NumPy"):
            gpuconv.conv2d(X, W, out=self.tensors()[0])


class TestJax:
    jax = None

    @pytest.fixture(autouse=True)
    def installed(self):
        type(self).jax = pytest.importorskip("jax")

    def arrays(self):
        return [self.jax.numpy.asarray(array) for array in (X, W, BIAS)]

    def test_arrays_give_arrays(self):
        y = gpuconv.conv2d(*self.arrays(), padding=1)
        assert isinstance(y, self.jax.Array)
        np.testing.assert_array_equal(np.asarray(y), EXPECTED, strict=True)
        assert float(self.jax.numpy.sum(y)) == EXPECTED.sum()  # JAX can compute with it

    def test_pools(self):
        values, indices = gpuconv.max_pool2d(self.arrays()[0], 2, return_indices=True)
        expected, places = gpuconv.max_pool2d(X, 2, return_indices=True)
        np.testing.assert_array_equal(np.asarray(values), expected, strict=True)
        np.testing.assert_array_equal(np.asarray(indices), places)  # int32, unless jax_enable_x64 is set

    def test_a_computation_in_flight_is_waited_for(self):
        x = self.jax.jit(lambda a: a @ a)(self.jax.numpy.ones((1, 1, 900, 900)))
        assert gpuconv.max_pool2d(x, 900).tolist() == [[[[900]]]]

    def test_immutable_arrays_are_no_out(self):
        out = self.jax.numpy.zeros(EXPECTED.shape)
        with pytest.raises(ValueError, match="out is read-only"):
            gpuconv.conv2d(*self.arrays(), padding=1, out=out)

    def test_a_traced_array_is_refused(self):
        for trace in (self.jax.jit, self.jax.grad):
            with pytest.raises(TypeError, match=r"input cannot be read: it is traced, as by jax\.jit"):
                trace(gpuconv.conv2d)(*self.arrays()[:2])

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_pools_of_16_bits(self, dtype):
        x = self.arrays()[0].astype(dtype)
        values, indices = gpuconv.max_pool2d(x, 2, return_indices=True)
        expected, places = gpuconv.max_pool2d(X, 2, return_indices=True)
        assert isinstance(values, self.jax.Array)
        assert (values.dtype, values.devices()) == (dtype, x.devices())
        np.testing.assert_array_equal(np.asarray(values, np.float32), expected)
        np.testing.assert_array_equal(np.asarray(indices), places)
        assert gpuconv.avg_pool2d(x, 2).dtype == dtype
        with pytest.raises(ValueError, match="out is read-only"):
            gpuconv.max_pool2d(x, 2, out=values)

    def test_a_result_lasts_when_others_are_made(self):
        """Its memory is that of the array that was filled, where JAX can take it over."""
        images = [self.jax.numpy.full((1, 2, 32, 32), value, "bfloat16") for value in range(20)]
        results = [gpuconv.max_pool2d(each, 2) for each in images]
        assert [float(each.min()) for each in results] == [float(each.max()) for each in results]
        assert [float(each.min()) for each in results] == list(range(20))

    @pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "int4"])
    def test_other_dtypes_are_refused_by_name(self, dtype):
        match = rf"input must be float32, .*bfloat16, .*, got dtype {dtype}: pass input.astype\(jnp.float32\)"
        with pytest.raises(TypeError, match=match):
            gpuconv.max_pool2d(self.arrays()[0].astype(dtype), 2)

    def test_a_deleted_array_is_refused(self):
        x = self.arrays()[0]
        x.delete()
        with pytest.raises(TypeError, match="input cannot be read: it was deleted"):
            gpuconv.max_pool2d(x, 2)
