"""Convolutions of 16 bits, complex numbers and integers of 8 bits on the executor."""

import numpy as np
import pytest

from gpuconv.cuda import conv_grad
from gpuconv.cuda.conv import packed_gemm, tiled
from gpuconv.spec import ConvSpec, of_input_gradient, of_transposed
from tests import reference
from tests.cases import BFLOAT16, CONV_CASES, TRANSPOSED_CASES, ConvCase, TransposedCase, integers, normal
from tests.cuda.execution import compute, poisoned
from tests.cuda.mutation import HARMLESS, WRONG, changed_room, verdict
from tests.layouts import WRITABLE
from tests.sampling import few

PAIRS = (  # of the input's dtype and the weights'
    ("float16", "float16"), ("complex64", "complex64"), ("uint8", "int8"), ("bfloat16", "bfloat16"),
    ("complex128", "complex128"), ("int8", "uint8"), ("uint8", "uint8"), ("int8", "int8"),
)  # fmt: skip
PACKED = PAIRS[:3:2]  # of those that tensor cores take
over_pairs = pytest.mark.parametrize(("input", "weight"), few(PAIRS, 3))
NAMED = {case.name: case for case in (*CONV_CASES, *TRANSPOSED_CASES)}
SMALL = [case for case in CONV_CASES if not case.large]
PHASES, _ = conv_grad.ALGORITHMS


def arrays_of(case, input, weight, make=integers):
    x, _, bias = case.arrays(input, make)
    return x, case.arrays(weight, make)[1], bias


def spec_of(case, arrays):
    transposed = isinstance(case, TransposedCase)
    return (of_transposed if transposed else ConvSpec.from_arrays)(*arrays, **case.parameters)


def run(case, arrays, algorithm=None, lay=np.copy):
    spec = spec_of(case, arrays)
    y = lay(poisoned(spec.out_shape, spec.result.numpy))
    default = PHASES if isinstance(case, TransposedCase) else tiled.ALGORITHM
    compute(algorithm or default, spec, arrays, (y,))
    return y


def right(case, arrays, y):
    """The sum, of integers modulo 2^32, of others rounded."""
    expected = case.expected(*arrays)
    return (expected.astype(np.int64) if y.dtype == "int32" else expected).astype(y.dtype)


@over_pairs
def test_integers_are_exact(input, weight):
    for case in SMALL[::7]:
        arrays = arrays_of(case, input, weight)
        y = run(case, arrays)
        assert (y == right(case, arrays, y)).all(), case


@pytest.mark.wide
@pytest.mark.parametrize("case", CONV_CASES, ids=str)
@pytest.mark.parametrize(
    ("algorithm", "input", "weight"),
    [
        *((tiled.ALGORITHM, *pair) for pair in PAIRS[:3]),
        *(pytest.param(tiled.ALGORITHM, *pair, marks=pytest.mark.slow) for pair in PAIRS[3:]),
        *((packed_gemm.ALGORITHM, *pair) for pair in PACKED),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_case_is_exact(case, algorithm, input, weight):
    if algorithm is packed_gemm.ALGORITHM and not case.w[1]:
        return  # refused, which tests of it show
    arrays = arrays_of(case, input, weight)
    y = run(case, arrays, algorithm)
    assert (y == right(case, arrays, y)).all()


@pytest.mark.wide  # seconds of the compiler
@over_pairs
@pytest.mark.parametrize("name", ["U-Net's 2x2 at stride 2", "groups", "no input channels"])
def test_transposed_convolutions_are_exact(name, input, weight):
    case = NAMED[name]
    arrays = arrays_of(case, input, weight)
    y = run(case, arrays)
    assert (y == right(case, arrays, y)).all()


@over_pairs
@pytest.mark.parametrize("layout", few(["reversed", "strided", "channels last"], 1))
def test_arrays_of_any_strides(layout, input, weight):
    case, lay = NAMED["stride 2"], WRITABLE[layout]
    arrays = arrays_of(case, input, weight)
    y = run(case, [lay(array) for array in arrays], lay=lay)
    assert (y == right(case, arrays, y)).all()


@pytest.mark.parametrize("dtype", few([np.dtype("float16"), BFLOAT16], 1), ids=str)
def test_sums_of_16_bits_are_those_of_float32_rounded_once(dtype):
    case = ConvCase("layer", (2, 19, 9, 8), (6, 19, 3, 3), padding=1, bias=True)
    x, w, bias = case.arrays(dtype, normal)
    expected, magnitudes = case.expected(x, w, bias), case.expected(abs(x), abs(w), abs(bias))
    error = abs(run(case, (x, w, bias)).astype("f8") - expected)
    assert (error <= reference.rounded_bound(expected, magnitudes, dtype)).all()


@pytest.mark.wide  # seconds of the compiler
def test_the_bias_is_added_before_the_sum_is_rounded():
    """2049 lies half-way between two numbers of float16, and is rounded to 2048."""
    case = ConvCase("rounded", (1, 2, 1, 1), (1, 2, 1, 1), bias=True)
    x, w = np.ones(case.x, "f2"), np.array([2048, 1], "f2").reshape(case.w)
    assert run(case, (x, w, np.ones(1, "f2"))).item() == 2050


@pytest.mark.wide  # seconds of the compiler
def test_a_complex_product_is_four_real_ones():
    case = ConvCase("parts", (1, 5, 4, 5), (2, 5, 2, 2))
    x = np.full(case.x, 1e16 + 1j, "complex64")
    assert (run(case, (x, np.ones(case.w, "complex64"), None)).imag == 20).all()
    x[0, 2, 1, 1] = complex(np.inf, 1)
    arrays = x, case.arrays("complex64", integers)[1], None
    y, expected = run(case, arrays), case.expected(*arrays)
    for part in ("real", "imag"):
        got, wanted = getattr(y, part), getattr(expected, part).astype("f4")
        np.testing.assert_array_equal(got[~np.isfinite(wanted)], wanted[~np.isfinite(wanted)])
        assert (np.isfinite(got) == np.isfinite(wanted)).all()


@pytest.mark.wide  # seconds of the compiler
def test_what_is_beyond_int32_is_left_modulo_2_to_the_32():
    case = ConvCase("wrapped", (1, 40, 1, 1), (1, 40, 1, 1), bias=True)
    x, w = np.full(case.x, 255, "u1"), np.full(case.w, 127, "i1")
    bias = np.full(1, 2**31 - 1, np.int32)
    assert run(case, (x, w, bias)).item() == 40 * 255 * 127 - 2**31 - 1


def gradient(algorithm, dtype="complex64"):
    size, weight, parameters = (1, 6, 9, 8), (4, 3, 3, 2), {"stride": 2, "groups": 2}
    w, dy = integers(weight, dtype, 1), integers((1, 4, 4, 4), dtype, 2)
    spec = of_input_gradient(size, w, dy, **parameters)
    dx = poisoned(spec.out_shape, dtype)
    compute(algorithm, spec, (dy, w, None), (dx,))
    return dx, reference.conv2d_input(size, w, dy, **parameters)


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("dtype", few(["complex64", "complex128"], 1))
def test_the_gradient_by_the_input_conjugates_the_weights(dtype):
    dx, expected = gradient(PHASES, dtype)
    np.testing.assert_array_equal(dx, expected.astype(dtype))


HALVES, BFLOATS, MIXED = ("float16", "float16"), ("bfloat16", "bfloat16"), ("uint8", "int8")
KERNEL, LOAD, STORE = (f"conv.tiled.{name}" for name in ("kernel", "load", "store"))
FAULTS = [  # (module, what, old source, new source, dtypes of the input and the weights)
    ("conv.operands", "weights without a sign", "w=self.w", "w=self.x", MIXED),
    (KERNEL, "weights not widened", "value = widen(w[", "value = (w[", HALVES),
    (STORE, "a sum not rounded", "narrow(finish(", "uint32(finish(", HALVES),
    (STORE, "a bias not widened", "start = widen(", "start = scalar(", HALVES),
    (LOAD, "an input not widened", "value = widen(x[", "value = (x[", BFLOATS),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[1])
def test_faults_in_the_source(fault):
    module, _, old, new, dtypes = fault
    room, case = changed_room("conv.tiled", module, old, new), NAMED["odd"]
    arrays = arrays_of(case, *dtypes)

    def compute_case():
        y = run(case, arrays, room.ALGORITHM)
        return y, right(case, arrays, y)

    assert verdict(compute_case) == WRONG


@pytest.mark.wide
def test_a_gradient_that_does_not_conjugate_is_wrong():
    assert verdict(lambda: gradient(PHASES)) == HARMLESS
    old = '(CONJUGATES if operands.conjugate == "weight" else OPERANDS)[operands.w].widen'
    room = changed_room("conv.tiled", "conv.tiled.kernel", old, "OPERANDS[operands.w].widen")
    assert verdict(lambda: gradient(conv_grad.phases.over((room.ALGORITHM,)))) == WRONG
