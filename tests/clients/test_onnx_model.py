"""A network written to an ONNX file, and read: what it gives is what the reference's own operators give."""

import numpy as np
import pytest

import gpuconv

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from tests.clients import onnx_model  # noqa: E402

random = np.random.default_rng(3)
SHAPES = {
    "w1": (8, 1, 5, 5), "b1": (8,), "w2": (12, 4, 3, 3), "b2": (12,), "w3": (12, 6, 2, 2),
    "w4": (10, 6), "b4": (10,),
}  # fmt: skip
NODES = (
    ("Conv", ["images", "w1", "b1"], {"pads": [2, 1, 2, 1], "strides": [1, 1]}),
    ("Relu", [], {}),
    ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 1, 0], "ceil_mode": 1}),
    ("Conv", ["w2", "b2"], {"group": 2, "dilations": [2, 1], "auto_pad": "SAME_UPPER"}),
    ("Relu", [], {}),
    ("ConvTranspose", ["w3"], {"strides": [2, 2], "pads": [1, 0, 0, 1], "output_padding": [1, 0]}),
    ("AveragePool", [], {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("GlobalAveragePool", [], {}),
    ("Flatten", [], {}),
    ("Gemm", ["w4", "b4"], {"transB": 1}),
)


def network():
    nodes, last = [], ""
    for number, (kind, names, attributes) in enumerate(NODES):
        inputs = names if names[:1] == ["images"] else [last, *names]
        last = f"{kind}-{number}"
        nodes.append(helper.make_node(kind, inputs, [last], **attributes))
    weights = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in SHAPES.items()
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 1, 28, 28])
    scores = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", 10])
    graph = helper.make_graph(nodes, "digits", [images], [scores], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_a_network_from_a_file(tmp_path, monkeypatch):
    path = tmp_path / "digits.onnx"
    onnx.save(network(), path)
    images = random.standard_normal((3, 1, 28, 28)).astype(np.float32)
    (expected,) = ReferenceEvaluator(str(path)).run(None, {"images": images})
    calls = []
    for name in ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"):
        function = getattr(gpuconv, name)
        monkeypatch.setattr(gpuconv, name, lambda *a, f=function, n=name: calls.append(n) or f(*a))
    (scores,) = onnx_model.load(str(path)).run(None, {"images": images})
    assert scores.shape == (3, 10)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert calls == [
        "conv2d", "max_pool2d", "conv2d", "conv_transpose2d", "avg_pool2d", "adaptive_avg_pool2d"
    ]  # fmt: skip
