"""CUDA graphs on a real device: what they work in is theirs, and a first call may be within the capture."""

import numpy as np
import pytest

import gpuconv
from tests.cases import integers

pytestmark = pytest.mark.gpu

# Problems whose algorithms work in memory of their own: shares of sums, and transformed weights
X, W = integers((1, 512, 7, 7), "float32"), integers((512, 512, 3, 3), "float32", 1)


@pytest.mark.parametrize("algorithm", ["conv_implicit_gemm", "conv_winograd"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_graph_computes_the_same_whatever_was_allocated_since(algorithm, is_first):
    cupy = pytest.importorskip("cupy")
    x, w = cupy.asarray(X), cupy.asarray(W)
    out = cupy.zeros((1, 512, 7, 7), np.float32)
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    parameters = {"padding": 1, "algorithm": algorithm, "out": out}
    with stream:
        if not is_first:
            gpuconv.conv2d(x, w, **parameters)
        stream.begin_capture()
        gpuconv.conv2d(x, w, **parameters)
        graph = stream.end_capture()
        expected = gpuconv.conv2d(X, W, padding=1)
        for _ in range(3):
            others = [cupy.full(size << 16, np.nan, np.float32) for size in (1, 4, 16, 64)]
            out.fill(np.nan)
            graph.launch(stream)
            stream.synchronize()
            np.testing.assert_allclose(cupy.asnumpy(out), expected, rtol=1e-4, atol=1e-2)
            assert all(bool(cupy.isnan(other).all()) for other in others)
