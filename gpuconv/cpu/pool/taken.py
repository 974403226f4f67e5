"""What the pools of the CPU engine take of the options of a spec, if they give no indices."""

from gpuconv.algorithm import ANY
from gpuconv.spec.dtypes import FLOATS

TAKEN = {
    "reduction": ("max", "mean"),
    "dtype": FLOATS,
    "count_include_pad": ANY,
    "divisor_override": ANY,
}
