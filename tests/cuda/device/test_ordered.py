"""Integers that sort as floating-point numbers do, computed by the compiled code."""

import numpy as np
import pytest
from numba import cuda, types, uint32

from gpuconv.cuda.device import ordered
from gpuconv.cuda.device.elements import SCALARS
from tests import ptx
from tests.cuda.execution import kernel_of


def keys_of(dtype, values):
    """(keys, what the keys stand for)"""
    key, value = ordered.KEY[dtype], ordered.VALUE[dtype]

    def convert(x, keys, back):
        i = uint32(cuda.threadIdx.x)
        keys[i] = key(x[i], i >= 0)
        back[i] = value(keys[i])

    scalar, integer = SCALARS[dtype], ordered.INTEGERS[dtype]
    pointers = [types.CPointer(kind) for kind in (scalar, integer, scalar)]
    keys, back = np.zeros(values.size, integer.name), np.zeros_like(values)
    text = kernel_of(convert, pointers, values.size).ptx("sm_90a")
    ptx.Kernel(text).launch(1, values.size, values, keys, back)
    return keys, back


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keys_sort_as_their_numbers(dtype):
    info = np.finfo(dtype)
    bits = np.random.default_rng(3).integers(0, 256, (240, info.bits // 8), "uint8")
    values = bits.view(dtype)[:, 0]
    least = info.smallest_subnormal
    special = [0, -0.0, info.tiny, -info.tiny, least, info.max, info.min, np.inf, -np.inf, np.nan]
    values[: len(special)] = special
    values[len(special)] = np.copysign(np.nan, -1)
    keys, back = keys_of(dtype, values)
    np.testing.assert_array_equal(back, values)
    assert keys.min() > ordered.LOWEST[dtype]
    a, b = values[:, None], values[None]
    greater = (a > b) | (np.isnan(a) & ~np.isnan(b))
    np.testing.assert_array_equal(keys[:, None] > keys[None], greater)
