"""What users write for a parameter, as the arguments of an operator of torch, whose types are few.

    stride=2, stride=(2, 1)            [2], [2, 1]
    padding=((1, 0), (2, 1))           [1, 0, 2, 1], None
    padding="same"                     None, "same"
    activation=("leaky_relu", 0.2)     "leaky_relu", 0.2

Nothing is computed here and nothing is checked but the form, so that a tracer can follow it: a value of no
plain form is `ODD`, and it is for gpuconv's own checks to say what is wrong with it.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.fx import Proxy

ODD = object()
INTEGERS = (int, torch.SymInt, Proxy)  # a proxy of fx stands for what it may become


class Form(NamedTuple):
    """How a parameter is handed to an operator.

    Attributes
    ----------
    types : tuple of (str, str)
        The types of the arguments that it becomes, with what is put behind its name.
    write : callable
        What a user wrote, as these arguments in a tuple, or `ODD`.
    read : callable
        These arguments, as a user would write them.
    """

    types: tuple[tuple[str, str], ...]
    write: Callable[[Any], Any]
    read: Callable[..., Any]


def plain(value: Any) -> Any:
    """A value in which NumPy's integers, arrays and other sequences have become Python's."""
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(map(plain, value))
    try:
        return value if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return value


def _is_integer(value: Any) -> bool:
    return isinstance(value, INTEGERS) and not isinstance(value, bool)


def _write_integers(value: Any) -> Any:
    if _is_integer(value):
        return ([value],)
    if isinstance(value, tuple | list) and all(_is_integer(each) for each in value):
        return (list(value),)
    return (None,) if value is None else ODD


def _read_integers(values: Any) -> Any:
    return values[0] if values is not None and len(values) == 1 else values and tuple(values)


def _write_padding(value: Any) -> Any:
    if isinstance(value, str):
        return None, value
    if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], tuple | list):
        sides = [*value[0], *value[1]] if isinstance(value[1], tuple | list) else []
        is_plain = len(value[0]) == 2 and len(sides) == 4 and all(_is_integer(each) for each in sides)
        return (sides, None) if is_plain else ODD
    written = _write_integers(value)
    return ODD if written is ODD or value is None or len(written[0]) > 2 else (written[0], None)


def _read_padding(sides: Any, name: str | None) -> Any:
    if name is not None:
        return name
    return _read_integers(sides) if len(sides) != 4 else (tuple(sides[:2]), tuple(sides[2:]))


def _write_activation(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value, None
    if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], str):
        if isinstance(value[1], str):
            return f"{value[0]} {value[1]}", None
        is_slope = value[0] == "leaky_relu" and isinstance(value[1], float | int)
        return (value[0], float(value[1])) if is_slope and not isinstance(value[1], bool) else ODD
    return ODD


def _read_activation(name: str | None, parameter: float | None) -> Any:
    if parameter is not None:
        return name, parameter
    return tuple(name.split(" ", 1)) if name and " " in name else name


def _write_number(value: Any) -> Any:
    is_number = isinstance(value, float) or (_is_integer(value) and abs(value) < 2**53)
    return (float(value),) if is_number else ODD


def _same(value: Any) -> Any:
    return value


def _form(kind: str, *kinds: type) -> Form:
    def write(value: Any) -> Any:
        is_kind = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        return (value,) if is_kind else ODD

    return Form((("", kind),), write, _same)


_SIDES = Form((("", "SymInt[]?"),), _write_integers, _read_integers)
_TEXT, _FLAG = _form("str?", str, type(None)), _form("bool", bool)
FORMS = {
    **dict.fromkeys(
        ("stride", "dilation", "kernel_size", "output_padding", "output_size", "input_size", "weight_size"),
        _SIDES,
    ),
    "padding": Form((("", "SymInt[]?"), ("_name", "str?")), _write_padding, _read_padding),
    "activation": Form((("", "str?"), ("_parameter", "float?")), _write_activation, _read_activation),
    "groups": _form("SymInt", *INTEGERS),
    "divisor_override": _form("SymInt?", *INTEGERS, type(None)),
    "norm_type": Form((("", "float"),), _write_number, _same),
    "ceil_mode": _FLAG,
    "count_include_pad": _FLAG,
    "padding_mode": _TEXT,
    "precision": _TEXT,
    "algorithm": _TEXT,
}
