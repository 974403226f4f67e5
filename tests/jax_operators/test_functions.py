"""Values and gradients beside JAX's own and by finite differences; programs that are compiled and mapped."""

import re

import numpy as np
import pytest

import gpuconv
from tests.conftest import ROOT

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

import gpuconv.jax  # noqa: E402


@pytest.fixture(autouse=True)
def sixty_four_bits():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def numbers(*shape, seed=0):
    """Numbers of different magnitudes, none close to another or to 0, so that maxima stay where they are."""
    count = int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(count) + 1.0).reshape(shape) / count * 3 - 1.3533


IMAGE, SINGLE = numbers(2, 4, 5, 6), numbers(4, 5, 6)
WEIGHT, GROUPED, TURNED, BIAS = numbers(6, 4, 3, 2), numbers(6, 2, 3, 3), numbers(4, 3, 3, 2), numbers(6)
POSITIVE = np.abs(IMAGE) + 0.3
CALLS = {
    "plain": ("conv2d", (IMAGE, WEIGHT), {}),
    "all": (
        "conv2d",
        (IMAGE, GROUPED, BIAS),
        {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2},
    ),
    "single": ("conv2d", (SINGLE, WEIGHT, BIAS), {"padding": "same", "stride": 2}),
    "reflected": ("conv2d", (IMAGE, WEIGHT), {"padding": ((1, 0), (2, 1)), "padding_mode": "reflect"}),
    "transposed": ("conv_transpose2d", (IMAGE, TURNED), {}),
    "transposed, all": (
        "conv_transpose2d",
        (IMAGE, TURNED, BIAS),
        {"stride": 2, "padding": 1, "output_padding": (1, 0), "groups": 2, "dilation": (2, 1)},
    ),
    "transposed, more": ("conv_transpose2d", (SINGLE, TURNED), {"output_padding": (1, 2), "dilation": 3}),
    "max": ("max_pool2d", (IMAGE,), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    "max, dilated": ("max_pool2d", (SINGLE,), {"kernel_size": (2, 3), "dilation": (1, 2), "stride": 1}),
    "min": ("min_pool2d", (IMAGE,), {"kernel_size": 2, "padding": 1}),
    "mean": ("avg_pool2d", (IMAGE,), {"kernel_size": 3, "padding": 1, "count_include_pad": False}),
    "mean, single": ("avg_pool2d", (SINGLE,), {"kernel_size": (2, 3), "divisor_override": 5}),
    "norm": ("lp_pool2d", (POSITIVE,), {"norm_type": 3, "kernel_size": 2, "stride": 1}),
    "great norm": ("lp_pool2d", (IMAGE,), {"norm_type": float("inf"), "kernel_size": 2}),
    "adaptive mean": ("adaptive_avg_pool2d", (IMAGE,), {"output_size": (3, None)}),
    "adaptive max": ("adaptive_max_pool2d", (IMAGE,), {"output_size": (3, 4)}),
}
over_calls = pytest.mark.parametrize(("name", "arrays", "others"), CALLS.values(), ids=CALLS)


def called(name, others):
    return lambda *arrays: getattr(gpuconv.jax, name)(*arrays, **others)


@over_calls
def test_values_are_those_of_numpy_compiled_or_not(name, arrays, others):
    function, given = called(name, others), [*map(jnp.asarray, arrays)]
    expected = getattr(gpuconv, name)(*arrays, **others)
    for way in (function, jax.jit(function)):
        y = way(*given)
        assert isinstance(y, jax.Array)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@over_calls
def test_gradients_of_both_orders(name, arrays, others):
    check_grads(
        called(name, others), [*map(jnp.asarray, arrays)], order=2, modes=["rev"], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "arrays", "others"),
    [
        pytest.param(*call, id=kind, marks=[pytest.mark.wide] if len(call[1]) == 3 else [])
        for kind, call in CALLS.items()
    ],
)
def test_many_calls_at_once(name, arrays, others):
    function = called(name, others)
    for many in range(1, 2 ** len(arrays)):  # of each choice of arrays
        axes = tuple(0 if many >> place & 1 else None for place in range(len(arrays)))
        given = [
            jnp.stack([array, array[::-1], 2 * array]) if axis == 0 else jnp.asarray(array)
            for array, axis in zip(arrays, axes, strict=True)
        ]

        def loss(*arrays):
            return (function(*arrays) ** 2).sum()

        for each in (function, jax.grad(loss, tuple(range(len(arrays))))):
            expected = [
                each(*[a if axis is None else a[call] for a, axis in zip(given, axes, strict=True)])
                for call in range(3)
            ]
            got = jax.jit(jax.vmap(each, axes))(*given)
            for ours, theirs in zip(
                jax.tree.leaves(got), zip(*map(jax.tree.leaves, expected), strict=True), strict=True
            ):
                np.testing.assert_allclose(ours, jnp.stack(theirs), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_convolutions_are_those_of_lax(dtype):
    x, w = (
        jnp.asarray(array * (1 + 2j) if dtype == "complex64" else array, dtype) for array in (IMAGE, GROUPED)
    )

    def theirs(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (2, 1), ((1, 1), (2, 2)), rhs_dilation=(1, 2), feature_group_count=2
        )

    def ours(x, w):
        return gpuconv.jax.conv2d(x, w, None, (2, 1), (1, 2), (1, 2), 2)

    wanted, pull = jax.vjp(theirs, x, w)
    got, our_pull = jax.vjp(ours, x, w)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    grad = jnp.asarray(numbers(*wanted.shape, seed=1) * (1 - 3j if dtype == "complex64" else 1), dtype)
    for one, other in zip(our_pull(grad), pull(grad), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
    transposed = gpuconv.jax.conv_transpose2d(grad, w, None, (2, 1), (1, 2), (0, 0), 2, (1, 2))
    np.testing.assert_allclose(transposed, pull(grad)[0], rtol=1e-4, atol=1e-3)


def test_pools_are_those_of_lax():
    x = jnp.asarray(IMAGE)
    window = {"window_dimensions": (1, 1, 3, 2), "window_strides": (1, 1, 2, 1), "padding": "VALID"}
    pairs = [
        (gpuconv.jax.max_pool2d, lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, **window)),
        (gpuconv.jax.min_pool2d, lambda x: jax.lax.reduce_window(x, jnp.inf, jax.lax.min, **window)),
        (gpuconv.jax.avg_pool2d, lambda x: jax.lax.reduce_window(x, 0.0, jax.lax.add, **window) / 6),
    ]
    for pool, theirs in pairs:
        (ours, our_pull), (wanted, pull) = (
            jax.vjp(lambda x, pool=pool: pool(x, (3, 2), (2, 1)), x),
            jax.vjp(theirs, x),
        )
        np.testing.assert_allclose(ours, wanted, rtol=1e-12)
        grad = jnp.asarray(numbers(*ours.shape, seed=1))
        np.testing.assert_allclose(our_pull(grad)[0], pull(grad)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_other_dtypes(dtype):
    x = jnp.round(4 * jnp.asarray(IMAGE)).astype(dtype)
    if dtype == "int8":
        y = jax.jit(lambda x: gpuconv.jax.conv2d(x, x[:, :, :2, :2]))(x)
        assert y.dtype == "int32"
        np.testing.assert_array_equal(y, gpuconv.conv2d(np.asarray(x), np.asarray(x[:, :, :2, :2])))
        return
    y = jax.jit(lambda x: gpuconv.jax.max_pool2d(x, 2))(x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.astype("float32"), gpuconv.max_pool2d(np.asarray(x, "float32"), 2))
    assert jax.grad(lambda x: gpuconv.jax.avg_pool2d(x, 2).sum().astype("float32"))(x).dtype == dtype


@pytest.mark.parametrize("bits", [32, 64])
def test_indices_have_as_many_bits_as_jax(bits):
    jax.config.update("jax_enable_x64", bits == 64)
    x = jnp.asarray(IMAGE, "float32")
    for pool, size in ((gpuconv.jax.max_pool2d, 2), (gpuconv.jax.adaptive_max_pool2d, 2)):
        values, indices = jax.jit(lambda x, pool=pool, size=size: pool(x, size, return_indices=True))(x)
        assert indices.dtype == f"int{bits}"
        expected = getattr(gpuconv, pool.__name__)(np.asarray(x), size, return_indices=True)
        np.testing.assert_array_equal(values, expected[0])
        np.testing.assert_array_equal(indices, expected[1])
    gradient = jax.grad(lambda x: gpuconv.jax.max_pool2d(x, 2, return_indices=True)[0].sum())(x)
    assert gradient.sum() == values.shape[0] * 4 * 2 * 3


def test_what_is_wrong_is_refused_while_a_program_is_traced():
    x = jnp.asarray(IMAGE)
    for others in (
        {"kernel_size": 0},
        {"kernel_size": 9},
        {"kernel_size": 2, "padding": "saem"},
        {"kernel_size": 2.5},
    ):
        with pytest.raises((TypeError, ValueError)) as wanted:
            gpuconv.max_pool2d(IMAGE, **others)
        for way in (called("max_pool2d", others), jax.jit(called("max_pool2d", others))):
            with pytest.raises(wanted.type, match=re.escape(str(wanted.value))):
                way(x)
    with pytest.raises(TypeError, match="weight must be an array of JAX, got list"):
        gpuconv.jax.conv2d(x, WEIGHT.tolist())
    with pytest.raises(TypeError, match="input must be an array of JAX, got MaskedArray"):
        gpuconv.jax.max_pool2d(np.ma.masked_array(IMAGE), 2)


def test_an_error_of_the_handler_reaches_the_user(monkeypatch):
    from gpuconv.jax import handler

    def fail(*arguments):
        raise MemoryError("no memory left")

    monkeypatch.setattr(handler, "make", fail)
    with pytest.raises(Exception, match="gpuconv: no memory left"):
        gpuconv.jax.max_pool2d(jnp.asarray(IMAGE), 2).block_until_ready()


def test_an_empty_batch():
    y, pull = jax.vjp(lambda x: gpuconv.jax.conv2d(x, jnp.asarray(WEIGHT)), jnp.zeros((0, 4, 5, 6)))
    assert y.shape == (0, 6, 3, 5) and pull(y)[0].shape == (0, 4, 5, 6)


def test_gpuconv_does_not_import_jax_and_a_missing_one_is_named(fresh_python):
    assert fresh_python("import sys, gpuconv; print('jax' in sys.modules)") == "False"
    code = """
import sys
sys.modules["jax"] = None
try:
    import gpuconv.jax
except ImportError as error:
    print(error)
"""
    assert fresh_python(code) == "gpuconv.jax needs JAX: pip install jax"


def test_the_example_of_the_readme():
    (code,) = re.findall(r"```python\n(import jax.*?)```", (ROOT / "README.md").read_text(), re.S)
    names = {}
    exec(code, names)
    assert names["gradient"].shape == (8, 3, 3, 3) and float(names["gradient"][0, 0, 1, 1]) == 4 * 32 * 32
