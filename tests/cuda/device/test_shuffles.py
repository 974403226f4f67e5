"""What the lanes of a warp exchange, of one word and of two, moved in words of 32 bits."""

import re

import numpy as np
import pytest

from gpuconv.cuda.device.shuffles import make_shuffles
from gpuconv.cuda.language import cuda, float32, float64, int32, int64, types, uint32
from tests import ptx
from tests.cuda.execution import kernel_of

LANES = np.arange(32)


def moved(kind):
    """What every lane gets: (its own values, by exchange with 5, from before, from behind, from lane + 3)"""
    shuffles = make_shuffles(kind)
    exchange, before, behind, at = shuffles.exchange, shuffles.before, shuffles.behind, shuffles.at

    def kernel(x, y):
        lane = int64(cuda.threadIdx.x)
        value = x[lane]
        y[lane], y[lane + 32] = exchange(value, 5), before(value)
        y[lane + 64], y[lane + 96] = behind(value), at(value, int32((lane + 3) & 31))

    info = np.dtype(kind.name)
    generator = np.random.default_rng(2)
    values = generator.integers(0, 256, (32, info.itemsize), "uint8").view(info)[:, 0]
    values[:4] = np.array([0, 1, 7, 5], info) - (0 if info.kind == "u" else 6)
    result = np.zeros((4, 32), info)
    text = kernel_of(kernel, [types.CPointer(kind)] * 2, 32).ptx("sm_90a")
    ptx.Kernel(text).launch(1, 32, ptx.pointer(values), ptx.out(result))
    return text, values, result


@pytest.mark.parametrize("kind", [int32, uint32, float32, int64, float64], ids=str)
def test_all_bits_are_moved(kind):
    text, values, result = moved(kind)
    sources = LANES ^ 5, np.maximum(LANES - 1, 0), np.minimum(LANES + 1, 31), (LANES + 3) % 32
    bits = f"u{values.itemsize}"
    np.testing.assert_array_equal(result.view(bits), values[np.array(sources)].view(bits))
    shuffles = re.findall(r"shfl\.sync\.\w+\.(\w+)", text)
    assert shuffles == ["b32"] * (4 * values.itemsize // 4)
