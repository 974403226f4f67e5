#!/usr/bin/env bash
# ONNX Runtime's MaxPool keeps a NaN only if it is the last value of its window, and loses -inf.
#
# Seen with onnxruntime 1.32.0 (CPU) and onnx 1.23.2: of a 2x2 window over 0, 1, 2, 3 with a NaN in the place of one of
# them, the results are 3, 3, 3 and NaN, from left to right; the maximum of four -inf is -3.4028235e+38. The ONNX
# operator says nothing of either; PyTorch gives NaN four times, and -inf. So a model that
# is exported from it hides a NaN, or not, by where it lies.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 "numpy<2.5"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

shape = [1, 1, 2, 2]
node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2])
graph = helper.make_graph(
    [node], "pool",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 1])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def pooled(values):
    return session.run(None, {"x": np.array(values, np.float32).reshape(shape)})[0].item()


found = [pooled([np.nan if i == place else i for i in range(4)]) for place in range(4)]
lowest = pooled([-np.inf] * 4)
print(f"onnxruntime {onnxruntime.__version__}: a NaN at 0, 1, 2, 3 gives {found}; four -inf give {lowest}")
assert found[:3] == [3, 3, 3] and np.isnan(found[3])
assert lowest == np.finfo(np.float32).min
PYTHON
