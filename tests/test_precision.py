"""What `precision=` promises of the error of each output, and how a whole program chooses it."""

from dataclasses import replace

import numpy as np
import pytest

import gpuconv
from gpuconv import cpu, cuda
from gpuconv.algorithm import refusal, select
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec import ConvSpec
from gpuconv.spec.conv import NETWORK_CHANNELS
from tests import reference
from tests.cases import CONV_CASES
from tests.cpu.problems import layouts, problem, refused
from tests.taken import taking

CHANNELS = 4, 31, 32, 256  # on both sides of where Winograd may be chosen
over_channels = pytest.mark.parametrize("C", CHANNELS)
over_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
# Of either engine: what has the bound of the norm alone, or not even that
MIXING = ("conv_winograd", "conv_fft", "conv_implicit_gemm_3xtf32", "conv_implicit_gemm_tf32")


@pytest.fixture
def set_precision():
    yield gpuconv.set_precision
    gpuconv.set_precision(None)


def network(C, dtype, seed=0):
    random = np.random.default_rng(seed)
    return random.random((1, C, 14, 14)).astype(dtype), random.random((C, C, 3, 3)).astype(dtype)


def few_products(C, dtype):
    """Nothing negative, and outputs of all magnitudes, 0 among them."""
    x, w = network(C, dtype)
    x[x < 0.99] = w[w < 0.9] = 0
    return x, w


# What is promised


@over_dtypes
@over_channels
def test_ieee_what_is_nowhere_negative_has_no_negative_sum(C, dtype):
    x, w = few_products(C, dtype)
    assert (gpuconv.conv2d(x, w, padding=1, precision="ieee") >= 0).all()


@over_dtypes
@over_channels
def test_ieee_a_weight_of_zero_masks_exactly(C, dtype):
    x, w = network(C, dtype)
    x[:, :, ::2] = 0  # every other row; the kernel sees the row of its middle alone
    w[:, :, [0, 2]] = 0
    y = gpuconv.conv2d(x, w, padding=1, precision="ieee")
    assert not y[:, :, ::2].any() and y[:, :, 1::2].all()


@over_dtypes
@over_channels
def test_ieee_a_small_value_beside_large_ones_is_kept(C, dtype):
    x = np.full((1, C, 14, 14), 1e4, dtype)
    x[:, :, 5, 6] = 0.1
    w = np.zeros((C, C, 3, 3), dtype)
    w[np.arange(C), np.arange(C), 1, 1] = 1
    np.testing.assert_array_equal(gpuconv.conv2d(x, w, padding=1, precision="ieee"), x)


@pytest.mark.parametrize("algorithm", taking("conv", "float32"))
@pytest.mark.parametrize("case", CONV_CASES, ids=str)
def test_ieee_each_output_is_bounded_by_its_own_products(case, algorithm):
    """Of every algorithm that takes it, for values of all magnitudes beside each other."""
    (kind,) = [each for each in cpu.ALGORITHMS["conv"] if each.name == algorithm]
    spec = replace(case.spec("float32"), precision="ieee")
    if reason := refused(kind, spec):
        pytest.skip(reason)

    def spread(shape, dtype, seed):
        random = np.random.default_rng(seed)
        return (random.choice([-1, 1], shape) * 10.0 ** random.uniform(-6, 6, shape)).astype(dtype)

    x, w, bias = case.arrays("float32", spread)
    y = gpuconv.conv2d(x, w, bias, **case.parameters, precision="ieee", algorithm=algorithm)
    error = np.abs(y - case.expected(x, w, bias))
    assert (error <= reference.error_bound(x, w, bias, **case.parameters)).all()


def test_the_data_tell_winograd_from_a_plain_sum():
    """What the tests above ask is more than Winograd holds: they are not true of everything."""
    x, w = few_products(256, "float32")
    assert (gpuconv.conv2d(x, w, padding=1, algorithm="conv_winograd") < 0).any()


@pytest.mark.parametrize("C", [each for each in CHANNELS if each < NETWORK_CHANNELS])
def test_none_is_ieee_for_image_filters(C):
    x, w = network(C, "float32")
    expected = gpuconv.conv2d(x, w, padding=1, precision="ieee")
    np.testing.assert_array_equal(gpuconv.conv2d(x, w, padding=1), expected)


# Who is chosen


def chosen(spec, engine, device):
    return select(engine.ALGORITHMS["conv"], spec, layouts(spec), device).name


DEEP = {"N": 8, "H": 56, "W": 56, "K": 256, "R": 3, "S": 3, "pads": ((1, 1), (1, 1))}


@pytest.mark.parametrize("engine", [cpu, cuda], ids=["cpu", "cuda"])
def test_winograd_is_chosen_for_layers_of_networks_alone(engine):
    device = problem(ConvSpec(C=1, **DEEP))[2] if engine is cpu else H200
    for groups, C in ((1, NETWORK_CHANNELS), (4, 4 * NETWORK_CHANNELS)):
        spec = ConvSpec(C=C, groups=groups, **DEEP)
        assert chosen(spec, engine, device) in MIXING
        assert chosen(replace(spec, precision="ieee"), engine, device) not in MIXING
        fewer = replace(spec, C=C - groups)
        assert chosen(fewer, engine, device) not in MIXING


@pytest.mark.parametrize("engine", [cpu, cuda], ids=["cpu", "cuda"])
def test_ieee_is_taken_by_all_that_do_not_mix_neighbours(engine):
    spec = ConvSpec(C=64, **DEEP)
    for algorithm in engine.ALGORITHMS["conv"]:
        problem = spec, layouts(spec), H200
        if algorithm.name in MIXING:
            assert "precision" in refusal(algorithm, replace(spec, precision="ieee"), *problem[1:])
        else:
            assert "ieee" in algorithm.takes["precision"]


def test_ieee_refuses_winograd_with_a_reason():
    x, w = network(64, "float32")
    with pytest.raises(ValueError, match=r"conv_winograd.*of precision it takes None or 'tf32', not 'ieee'"):
        gpuconv.conv2d(x, w, padding=1, precision="ieee", algorithm="conv_winograd")


@pytest.mark.parametrize(
    ("precision", "dtype", "C", "remark"),
    [
        (None, "float32", 256, "; in tiles of 2x2 outputs"),
        ("tf32", "float32", 256, "; in tiles of 4x4 outputs, as precision='tf32' allows"),
        ("tf32", "float64", 256, "; in tiles of 2x2 outputs"),
        ("tf32", "float64", 4, "; precision='tf32' changes nothing here"),
        ("ieee", "float32", 256, "; precision='ieee' leaves out what mixes neighbours"),
        (None, "float32", 4, ")"),
    ],
)
def test_explain_says_what_the_precision_changes(precision, dtype, C, remark):
    verdict = gpuconv.explain(gpuconv.conv2d, *network(C, dtype), padding=1, precision=precision)[0][1]
    assert verdict.endswith(remark) and verdict.startswith("selected")


# A whole program


def test_a_program_chooses_what_none_means(set_precision):
    x, w = network(256, "float32")
    ieee, mixed = (gpuconv.conv2d(x, w, padding=1, precision=each) for each in ("ieee", None))
    assert (ieee != mixed).any()
    plan = gpuconv.plan_conv2d(x, w, padding=1)
    set_precision("ieee")
    np.testing.assert_array_equal(gpuconv.conv2d(x, w, padding=1), ieee)
    np.testing.assert_array_equal(plan(x, w), ieee)
    assert gpuconv.explain(gpuconv.conv2d, x, w, padding=1)[0][0] not in MIXING
    set_precision(None)
    np.testing.assert_array_equal(gpuconv.conv2d(x, w, padding=1), mixed)


def test_a_call_that_says_it_is_not_overruled(set_precision):
    x, w = network(256, "float32")
    expected = gpuconv.conv2d(x, w, padding=1, precision="tf32")
    set_precision("ieee")
    np.testing.assert_array_equal(gpuconv.conv2d(x, w, padding=1, precision="tf32"), expected)


@pytest.mark.parametrize("name", ["fp32", "IEEE", 32, True, "", np.float32(1), ("ieee",)])
def test_an_unknown_precision_of_a_program_is_refused(set_precision, name):
    set_precision("tf32")
    with pytest.raises(ValueError, match="name must be None or one of ieee, tf32; got"):
        gpuconv.set_precision(name)
    assert gpuconv.precision.default == "tf32"


CHOSEN = """
import numpy as np, gpuconv
x, w = np.ones((1, 256, 14, 14), "f4"), np.ones((256, 256, 3, 3), "f4")
print(gpuconv.explain(gpuconv.conv2d, x, w, padding=1)[0][0])
"""


def test_the_environment_chooses(fresh_python):
    assert fresh_python(CHOSEN, GPUCONV_PRECISION="") == "conv_winograd"
    assert fresh_python(CHOSEN, GPUCONV_PRECISION="ieee") == "conv_implicit_gemm"


def test_a_wrong_environment_is_an_error_of_the_first_convolution_and_not_of_the_import(fresh_python):
    code = f"""
import gpuconv
try: exec({CHOSEN!r})
except ValueError as error: print(error)
gpuconv.set_precision("ieee")
{CHOSEN}
"""
    said, chosen = fresh_python(code, GPUCONV_PRECISION="double").splitlines()
    assert said == "$GPUCONV_PRECISION must be None or one of ieee, tf32; got 'double'"
    assert chosen == "conv_implicit_gemm"
