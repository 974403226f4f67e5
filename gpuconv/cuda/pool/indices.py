"""Maxima that carry their indices, for the kernels of several rooms.

An index is flat in the input plane, h W + w. Values are compared as integers that sort like them
(`device/ordered.py`), and padding is below all. Where the order in which elements meet is not that of their
indices, of equals the smallest index wins, which is the first of them in the window.
"""

from gpuconv.cuda.device.elements import inlined
from gpuconv.cuda.device.limits import ALL_LANES
from gpuconv.cuda.language import cuda, int32, uint32


@inlined
def first_greatest(key, index, other, other_index):
    """The greater of two keys with its index; of equals the one with the smaller index."""
    wins = (other > key) | ((other == key) & (other_index < index))
    return other if wins else key, other_index if wins else index


@inlined
def exchange(key, index, mask):
    """What the lane that differs in `mask` holds."""
    other = cuda.shfl_xor_sync(ALL_LANES, key, mask)
    return other, uint32(cuda.shfl_xor_sync(ALL_LANES, int32(index), mask))
