"""Numbers of 16 bits in CUDA kernels: their conversions, and how they are loaded and stored."""

import ml_dtypes
import numpy as np
import pytest
from numba import cuda, float32, types, uint16, uint32

from gpuconv.cuda.device.elements import ELEMENTS, INDEX, make_loader, make_storer
from gpuconv.cuda.ptx.arithmetic import sixteen_bits
from tests import ptx
from tests.cuda.execution import kernel_of

THREADS = 256
HALVES = ("float16", "bfloat16")
UNPAIR = {"float16": sixteen_bits.unpair_float16, "bfloat16": sixteen_bits.unpair_bfloat16}
PAIR = {"float16": sixteen_bits.pair_float16, "bfloat16": sixteen_bits.pair_bfloat16}

over_halves = pytest.mark.parametrize("dtype", HALVES)
over_archs = pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90a"])


def run(function, elements, *arrays, arch="sm_90a", blocks=1, threads=THREADS):
    """Execute a kernel whose arguments are pointers; returns its PTX."""
    text = kernel_of(function, [types.CPointer(each) for each in elements], threads).ptx(arch)
    ptx.Kernel(text).launch(blocks, threads, *map(ptx.pointer, arrays))
    return text


@over_archs
@over_halves
def test_every_number_is_widened_exactly(dtype, arch):
    unpair = UNPAIR[dtype]

    def kernel(words, low, high):
        i = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        low[i], high[i] = unpair(words[i])

    bits = np.arange(2**16, dtype=np.uint16)
    words = bits.astype(np.uint32) | bits[::-1].astype(np.uint32) << 16
    low, high = np.zeros((2, 2**16), np.float32)
    text = run(kernel, (uint32, float32, float32), words, low, high, arch=arch, blocks=256)
    with np.errstate(invalid="ignore"):  # of NaN that signal
        np.testing.assert_array_equal(low, bits.view(dtype).astype(np.float32))
        np.testing.assert_array_equal(high, bits[::-1].view(dtype).astype(np.float32))
    assert ("cvt.f32.f16" in text) == (dtype == "float16")


def hard_to_round(dtype):
    """float32 of any bits, and those that are representable, half-way between, or next to either."""
    bits = np.arange(0, 2**16, 7, dtype=np.uint16)
    known = bits.view(dtype).astype(np.float32).view(np.uint32)
    shift = 13 if dtype == "float16" else 16
    near = known[:, None] + np.array([0, 1, 2**shift - 1, 2 ** (shift - 1), 2 ** (shift - 1) - 1], np.uint32)
    some = np.random.default_rng(2).integers(0, 2**32, 2**15, np.uint32)
    limits = np.array([65504, 65519.996, 65520, 3.4e38, np.inf, np.nan, 0, -0.0, 2e-8, 3e-8], np.float32)
    values = np.concatenate([near.ravel(), some, limits.view(np.uint32)])
    return np.resize(values, -(-values.size // THREADS) * THREADS).view(np.float32)


@over_archs
@over_halves
def test_numbers_are_rounded_to_nearest_even(dtype, arch):
    pair = PAIR[dtype]

    def kernel(values, words):
        i = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        words[i] = pair(values[i], -values[i])

    values = hard_to_round(dtype)
    words = np.zeros(values.size, np.uint32)
    text = run(kernel, (float32, uint32), values, words, arch=arch, blocks=values.size // THREADS)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(dtype)
    low, high = words.astype(np.uint16), (words >> 16).astype(np.uint16)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(low[numbers], expected.view(np.uint16)[numbers])
    np.testing.assert_array_equal(high[numbers], low[numbers] ^ 0x8000)
    assert (np.isnan(low.view(dtype)) == ~numbers).all() and (np.isnan(high.view(dtype)) == ~numbers).all()
    instruction = f"cvt.rn.{'bf16x2' if dtype == 'bfloat16' else 'f16x2'}.f32"
    assert (instruction in text) == (arch != "sm_75")


@pytest.mark.parametrize("value", [0.0, 1.0, -np.inf])
@pytest.mark.parametrize("dtype", [*HALVES, "float32", "float64"])
def test_bits_of_a_constant(dtype, value):
    bits = ELEMENTS[dtype].bits(value)
    if dtype in HALVES:
        bits = float(np.uint16(bits).view(ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16))
    assert bits == value


@pytest.mark.parametrize(("dtype", "columns"), [
    *((dtype, columns) for dtype in HALVES for columns in (1, 2, 4, 8)),
    *((dtype, columns) for dtype in ("float32", "float64") for columns in (1, 2)), ("float32", 4),
])  # fmt: skip
def test_elements_are_loaded_and_stored_at_once(dtype, columns):
    element, scalar, together = ELEMENTS[dtype], ELEMENTS[dtype].scalar, min(columns, 4)
    load, store = make_loader(element, columns, -np.inf), make_storer(element, together)

    def kernel(x, y):
        values, row = cuda.local.array(columns, scalar), cuda.local.array(together, scalar)
        i = uint32(cuda.threadIdx.x)
        load(values, 0, i % uint32(3) != uint32(0), x, types.int64(i) * columns)
        for first in range(0, columns, together):
            for j in range(together):
                row[j] = values[first + j]
            store(y, types.int64(i) * columns + first, row)

    kind = np.uint16 if dtype in HALVES else dtype
    x = np.arange(1, 32 * columns + 1, dtype="float32").astype(dtype)
    y = np.zeros_like(x)
    text = run(kernel, [element.stored] * 2, x.view(kind), y.view(kind), threads=32)
    loaded = np.arange(32) % 3 != 0
    np.testing.assert_array_equal(y.reshape(32, columns)[loaded], x.reshape(32, columns)[loaded])
    assert (y.reshape(32, columns)[~loaded] == -np.inf).all()
    assert text.count("ld.global.nc") == 1
    assert text.count("st.global") == columns // together


def test_indices_are_stored_at_once():
    store = make_storer(INDEX, 2)

    def kernel(y):
        row = cuda.local.array(2, types.int64)
        row[0], row[1] = 5, -7
        store(y, types.int64(0), row)

    y = np.zeros(2, np.int64)
    assert "st.global.v2" in run(kernel, (types.int64,), y, threads=1)
    assert y.tolist() == [5, -7]


def test_words_that_are_not_aligned_are_reported():
    load = make_loader(ELEMENTS["float16"], 4, 0.0)

    def kernel(x, y):
        values = cuda.local.array(4, float32)
        load(values, 0, True, x, types.int64(2))
        y[0] = values[0]

    with pytest.raises(ptx.MisalignedError):
        run(kernel, (uint16, float32), np.zeros(8, np.uint16), np.zeros(1, np.float32), threads=1)
