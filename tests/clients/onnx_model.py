"""A convolutional network from an ONNX file, run by `onnx.reference` with this library's operators in it.

The evaluator of the `onnx` package says what ONNX means, in plain Python; operators of one's own take the
place of those that it has of the same name. So a model is run without a runtime to install, and faster.
"""

from typing import Any

from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import gpuconv


def pads_of(auto_pad: str, pads: Any) -> Any:
    """ONNX's (top, left, bottom, right), or a name, as `padding`."""
    if auto_pad in ("SAME_UPPER", "VALID"):
        return {"SAME_UPPER": "same", "VALID": "valid"}[auto_pad]
    if auto_pad != "NOTSET":
        raise NotImplementedError(f"auto_pad={auto_pad}")
    top, left, bottom, right = pads or (0, 0, 0, 0)
    return (top, bottom), (left, right)


class Conv(OpRun):
    op_domain = ""

    def _run(
        self,
        X,
        W,
        B=None,
        auto_pad=None,
        dilations=None,
        group=None,
        kernel_shape=None,
        pads=None,
        strides=None,
    ):
        padding = pads_of(auto_pad, pads)
        return (gpuconv.conv2d(X, W, B, strides or 1, padding, dilations or 1, group),)


class ConvTranspose(OpRun):
    op_domain = ""

    def _run(
        self, X, W, B=None, auto_pad=None, dilations=None, group=None, kernel_shape=None, output_padding=None,
        output_shape=None, pads=None, strides=None,
    ):  # fmt: skip
        padding = pads_of(auto_pad, pads)
        more = output_padding or 0
        return (gpuconv.conv_transpose2d(X, W, B, strides or 1, padding, more, group, dilations or 1),)


class MaxPool(OpRun):
    op_domain = ""

    def _run(
        self, x, auto_pad=None, ceil_mode=None, dilations=None, kernel_shape=None, pads=None,
        storage_order=None, strides=None,
    ):  # fmt: skip
        padding = pads_of(auto_pad, pads)
        return (gpuconv.max_pool2d(x, kernel_shape, strides or 1, padding, dilations or 1, bool(ceil_mode)),)


class AveragePool(OpRun):
    op_domain = ""

    def _run(
        self, x, auto_pad=None, ceil_mode=None, count_include_pad=None, dilations=None, kernel_shape=None,
        pads=None, strides=None,
    ):  # fmt: skip
        padding = pads_of(auto_pad, pads)
        options = bool(ceil_mode), bool(count_include_pad)
        return (gpuconv.avg_pool2d(x, kernel_shape, strides or 1, padding, *options),)


class GlobalAveragePool(OpRun):
    op_domain = ""

    def _run(self, x):
        return (gpuconv.adaptive_avg_pool2d(x, 1),)


OPERATORS = [Conv, ConvTranspose, MaxPool, AveragePool, GlobalAveragePool]


def load(model: Any) -> ReferenceEvaluator:
    """A model, or the path of its file: `load("digits.onnx").run(None, {"images": images})`."""
    return ReferenceEvaluator(model, new_ops=OPERATORS)
