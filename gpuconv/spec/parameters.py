"""What the user may write for a parameter, brought into one normal form.

The specs call these for every operator: an integer, a pair, four-sided or named padding and a flag come out
as plain Python values; anything else raises a ValueError or TypeError that names the argument and its value.
"""

import itertools
import operator
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from gpuconv.spec.axis import NAMED_PADDING, Axis, Pair
from gpuconv.spec.shown import nearest, shown

BOUND = 2**31  # every parameter lies below; array extents and offsets may exceed it

_PADDING_FORMS = "an integer, (height, width), ((top, bottom), (left, right)), 'valid', 'same' or 'full'"

Pads = tuple[Pair, Pair]  # ((top, bottom), (left, right))
SYMBOLS: set[type] = set()  # of integers that are not known yet, while a tracer follows a program

_BOOLEANS = (bool, np.bool_)
NO_SEQUENCES = (int, str, bytes, bytearray, memoryview)  # of numbers, whatever else they are
_NONE: Pads = ((0, 0), (0, 0))


def as_integer(value: Any, name: str, least: int, most: int = BOUND - 1, form: str = "an integer") -> int:
    """An integer from `least` to `most`, or a symbol; NumPy's integers are taken, booleans are not."""
    if isinstance(value, _BOOLEANS):
        raise TypeError(f"{name} must be {form}, got {shown(value)}")
    if is_symbol(value):
        return value
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be {form}, got {shown(value)}") from None
    if not least <= number <= most:
        raise ValueError(f"{name} must be from {least} to {most}, got {shown(value)}")
    return number


def is_symbol(value: Any) -> bool:
    """An integer that stands for any: to look at its value would tie a traced program to that one."""
    return type(value) in SYMBOLS


def as_flag(value: Any, name: str) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if not isinstance(value, _BOOLEANS):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def _is_sequence(value: Any) -> bool:
    if isinstance(value, NO_SEQUENCES):
        return False
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence)


def elements_of(value: Any, count: int) -> list[Any]:
    """So many elements of what may be endless, and one more if there is; TypeError without an order."""
    if isinstance(value, (*NO_SEQUENCES, Set, Mapping)):
        raise TypeError("it has no elements in an order")
    return list(itertools.islice(value, count + 1))


def as_pair(value: Any, name: str, least: int) -> Pair:
    """An integer for both axes, or one integer per axis (height first)."""
    if not _is_sequence(value):
        number = as_integer(value, name, least, form="an integer or two (height, width)")
        return number, number
    if len(value) not in (1, 2):
        raise ValueError(f"{name} must be one integer or two (height, width), got {shown(value)}")
    return as_integer(value[0], name, least), as_integer(value[-1], name, least)


def as_pads(padding: Any, size: Pair, window: Pair, stride: Pair, dilation: Pair) -> Pads:
    """((top, bottom), (left, right)) from any form of `padding` that the public functions take."""
    if isinstance(padding, str):
        rule = NAMED_PADDING.get(padding)
        if rule is None:
            raise ValueError(
                f"padding must be {_PADDING_FORMS}; got {shown(padding)}{nearest(padding, NAMED_PADDING)}"
            )
        rows, columns = map(rule, map(Axis, size, window, _NONE, stride, dilation))
        return rows, columns
    try:
        return _sides(padding)
    except TypeError:
        raise TypeError(f"padding must be {_PADDING_FORMS}; got {shown(padding)}") from None


def _sides(padding: Any) -> Pads:
    if not (_is_sequence(padding) and any(map(_is_sequence, itertools.islice(padding, 2)))):
        high, wide = as_pair(padding, "padding", least=0)
        return (high, high), (wide, wide)
    if len(padding) != 2 or not all(_is_sequence(side) and len(side) == 2 for side in padding):
        raise ValueError(f"padding must be {_PADDING_FORMS}; got {shown(padding)}")
    return as_pair(padding[0], "padding", least=0), as_pair(padding[1], "padding", least=0)
