"""The weights of the phases of a gradient by the input, as they are copied for convolutions."""

import numpy as np
import pytest

import gpuconv
from gpuconv.call import understand
from gpuconv.cpu.conv_grad.weights import BLOCK, plan_weights
from gpuconv.cpu.simd import LANES
from gpuconv.spec import phases_of
from gpuconv.spec.dtypes import FLOAT32
from tests.cases import zeros

L = LANES[FLOAT32]
GEOMETRIES = {  # taps of phases: of one number, of several, of none; too many to be interleaved
    "2x2/2": ((2, 2), 2, 1), "4x4/2": ((4, 4), 2, 1), "3x3/2": ((3, 3), 2, 1), "8x8/8": ((8, 8), 8, 1),
    "2x2/3": ((2, 2), 3, 1), "1x1": ((1, 1), 1, 1), "2x2": ((2, 2), 1, 1), "3x3/2 dilated": ((3, 3), 2, 3),
    "3x3": ((3, 3), 1, 1), "5x5/2": ((5, 5), 2, 1), "9x9/9": ((9, 9), 9, 1), "3x2/2, 1": ((3, 2), (2, 1), 1),
}  # fmt: skip


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("channels", [(L, 1), (2 * L, BLOCK + 3), (L + 1, 5)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("count", [1, 3])
def test_each_phase_has_its_taps_in_reverse_order(geometry, channels, groups, count, threads):
    threads(count)
    (C, K), (kernel, stride, dilation) = channels, GEOMETRIES[geometry]
    w = np.arange(groups * C * K * np.prod(kernel), dtype="f4").reshape(groups * C, K, *kernel)
    x = zeros((1, groups * C, 9, 9), "f4")
    call = understand(gpuconv.conv_transpose2d, x, w, stride=stride, dilation=dilation, groups=groups)
    phases = [*phases_of(call.spec)]
    for phase, found in zip(phases, plan_weights(call.spec, phases)(w), strict=True):
        taps = w.reshape(groups, C, K, *kernel)[:, :, :, *phase.taps]
        expected = taps.swapaxes(1, 2).reshape(found.shape)
        np.testing.assert_array_equal(found, expected)
