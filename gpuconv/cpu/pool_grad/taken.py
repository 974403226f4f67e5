"""What the gradients of average pools take of the options of a spec."""

from gpuconv.spec.dtypes import FLOATS

TAKEN = {"windows": ("regular", "adaptive"), "dtype": FLOATS}
