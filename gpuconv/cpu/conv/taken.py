"""What every convolution of the CPU engine takes of the options of a spec."""

from gpuconv.spec import PRECISIONS
from gpuconv.spec.dtypes import FLOATS

TAKEN = {"dtype": FLOATS, "precision": PRECISIONS}  # a plain sum serves every one
