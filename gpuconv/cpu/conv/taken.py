"""What every convolution of the CPU engine takes of the options of a spec."""

from gpuconv.spec.dtypes import FLOATS

TAKEN = {"dtype": FLOATS, "precision": (None, "tf32")}  # what is exact serves whoever allows an error
