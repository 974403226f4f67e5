"""Maxima that carry their indices, for the kernels of several rooms.

An index is flat in the input plane, h W + w. Values are compared as integers that sort like them
(`device/ordered.py`), and padding is below all. Of equals the smallest index wins, which is the first of them
in the window. Both zeros have one key: a maximum that may be one is read again from its place.
"""

from gpuconv.cuda.device.elements import inlined


@inlined
def first_of(key, index, later, later_index):
    """The greater of two keys with its index; of equals the first, which has the smaller index."""
    wins = later > key
    return later if wins else key, later_index if wins else index


@inlined
def first_greatest(key, index, other, other_index):
    """The greater of two keys with its index; of equals the one with the smaller index."""
    wins = (other > key) | ((other == key) & (other_index < index))
    return other if wins else key, other_index if wins else index
