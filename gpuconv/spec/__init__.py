"""What a call means: every check of the user's arguments and all shape arithmetic, for every engine.

The letters are the field's and are used everywhere below this room: an input is (N, C, H, W), a weight
(K, C / groups, R, S), an output (N, K, P, Q) for a convolution and (N, C, P, Q) for a pool. Nothing here
touches memory: only shapes, dtypes and parameters are read. Nothing below here validates them again.
"""

from gpuconv.spec.axis import Axis, Pair
from gpuconv.spec.bias_gradient import of_bias_gradient
from gpuconv.spec.checks import check_out
from gpuconv.spec.conv import (
    BIAS_GRADIENT,
    CONJUGATED,
    INPUT_GRADIENT,
    PRECISIONS,
    WEIGHT_GRADIENT,
    ConvSpec,
    check_precision,
    without_epilogue,
)
from gpuconv.spec.deformed import of_deformed
from gpuconv.spec.dtypes import Dtype
from gpuconv.spec.epilogue import Epilogue
from gpuconv.spec.layouts import (
    ConvLayouts,
    DeformedLayouts,
    Layout,
    Layouts,
    NormGradientLayouts,
    PlainLayouts,
    PoolLayouts,
    ResidualLayouts,
    ScatterLayouts,
    WeightGradientLayouts,
    conv_layouts,
)
from gpuconv.spec.mean_gradient import (
    MeanGradientSpec,
    of_adaptive_mean_gradient,
    of_mean_gradient,
    of_norm_gradient,
)
from gpuconv.spec.parameters import Pads, as_integer
from gpuconv.spec.patches import PatchesSpec, of_fold, of_unfold
from gpuconv.spec.phases import Phase, phases_of
from gpuconv.spec.pool import PoolSpec, of_adaptive, of_norms
from gpuconv.spec.scatter import ScatterSpec, of_max_gradient, of_unpool
from gpuconv.spec.shown import shown
from gpuconv.spec.transposed import of_input_gradient, of_transposed
from gpuconv.spec.weight_gradient import of_weight_gradient

Spec = ConvSpec | PoolSpec | ScatterSpec | MeanGradientSpec | PatchesSpec

__all__ = [
    "BIAS_GRADIENT", "CONJUGATED", "INPUT_GRADIENT", "PRECISIONS", "WEIGHT_GRADIENT", "Axis", "ConvLayouts",
    "ConvSpec", "DeformedLayouts", "Dtype", "Epilogue", "Layout", "Layouts", "MeanGradientSpec",
    "NormGradientLayouts", "Pads", "Pair", "PatchesSpec", "Phase", "PlainLayouts", "PoolLayouts",
    "PoolSpec", "ResidualLayouts", "ScatterLayouts", "ScatterSpec", "Spec", "WeightGradientLayouts",
    "as_integer", "check_out", "check_precision", "conv_layouts", "of_adaptive",
    "of_adaptive_mean_gradient", "of_bias_gradient", "of_deformed", "of_fold", "of_input_gradient",
    "of_max_gradient", "of_mean_gradient", "of_norm_gradient", "of_norms", "of_transposed", "of_unfold",
    "of_unpool", "of_weight_gradient", "phases_of", "shown", "without_epilogue",
]  # fmt: skip
