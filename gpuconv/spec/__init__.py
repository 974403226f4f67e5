"""What a call means: every check of the user's arguments and all shape arithmetic, for every engine.

The letters are the field's and are used everywhere below this room: an input is (N, C, H, W), a weight
(K, C / groups, R, S), an output (N, K, P, Q) for a convolution and (N, C, P, Q) for a pool. Nothing here
touches memory: only shapes, dtypes and parameters are read. Nothing below here validates them again.
"""

from gpuconv.spec.axis import Axis, Pair
from gpuconv.spec.bias_gradient import BIAS_GRADIENT, of_bias_gradient
from gpuconv.spec.checks import check_out
from gpuconv.spec.conv import PRECISIONS, ConvSpec, check_precision
from gpuconv.spec.deformed import of_deformed
from gpuconv.spec.dtypes import Dtype
from gpuconv.spec.epilogue import Epilogue
from gpuconv.spec.layouts import (
    BiasGradientLayouts,
    ConvLayouts,
    DeformedLayouts,
    Layout,
    Layouts,
    PoolLayouts,
    ResidualLayouts,
    WeightGradientLayouts,
    conv_layouts,
)
from gpuconv.spec.parameters import Pads, as_integer
from gpuconv.spec.phases import Phase, phases_of
from gpuconv.spec.pool import PoolSpec
from gpuconv.spec.transposed import INPUT_GRADIENT, of_input_gradient, of_transposed
from gpuconv.spec.weight_gradient import WEIGHT_GRADIENT, of_weight_gradient

Spec = ConvSpec | PoolSpec

__all__ = [
    "BIAS_GRADIENT", "INPUT_GRADIENT", "PRECISIONS", "WEIGHT_GRADIENT", "Axis", "BiasGradientLayouts",
    "ConvLayouts", "ConvSpec", "DeformedLayouts", "Dtype", "Epilogue", "Layout", "Layouts", "Pads", "Pair",
    "Phase", "PoolLayouts", "PoolSpec", "ResidualLayouts", "Spec", "WeightGradientLayouts", "as_integer",
    "check_out", "check_precision", "conv_layouts", "of_bias_gradient", "of_deformed", "of_input_gradient",
    "of_transposed", "of_weight_gradient", "phases_of",
]  # fmt: skip
