"""What the pools of the CUDA engine take of the options of a spec, if they give indices too."""

from gpuconv.algorithm import ANY
from gpuconv.cuda.device.elements import ELEMENTS

TAKEN = {
    "reduction": ("max", "mean"),
    "dtype": tuple(ELEMENTS),
    "return_indices": (False, True),
    "count_include_pad": ANY,
    "divisor_override": ANY,
}
