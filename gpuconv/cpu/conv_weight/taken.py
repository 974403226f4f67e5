"""What every gradient by the weight takes of the options of a spec."""

from gpuconv.cpu.conv.taken import TAKEN as CONV_TAKEN
from gpuconv.spec import WEIGHT_GRADIENT

TAKEN = {**CONV_TAKEN, "direction": (WEIGHT_GRADIENT,)}
