"""What is done to a sum when it is complete, as a value: each store applies it once, at the end.

    y = activation(sum + bias + residual)

    relu         v where v > 0, else 0                    sigmoid    1 / (1 + exp(-v))
    relu6        v between 0 and 6                        tanh
    leaky_relu   v where v > 0, else parameter * v        gelu       v (1 + erf(v / sqrt(2))) / 2
    silu         v sigmoid(v)                             gelu_tanh  v (1 + tanh(sqrt(2 / pi)
    hardswish    v relu6(v + 3) / 6                                  (v + 0.044715 v^3))) / 2

as `torch.nn.functional` has them. A NaN stays one.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from gpuconv.spec.shown import nearest, shown

ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "hardswish",
)  # fmt: skip
SLOPE = 0.01  # of leaky_relu, if it is not given
_NAMED = tuple(name for name in ACTIVATIONS if name != "gelu_tanh")
_FORMS = f"None, one of {', '.join(_NAMED)}, or (name, parameter)"
_GELU = {"none": "gelu", "tanh": "gelu_tanh"}  # by torch's `approximate`


class Epilogue(NamedTuple):
    """y = activation(sum + bias + residual); the bias is seen where the arrays are (`ConvLayouts`)."""

    residual: bool = False
    activation: str | None = None
    parameter: float | None = None

    def __repr__(self) -> str:
        given = (f"{name}={value!r}" for name, value in self._asdict().items() if value not in (None, False))
        return f"Epilogue({', '.join(given)})"


NO_EPILOGUE = Epilogue()


def as_epilogue(activation: Any, residual: bool) -> Epilogue:
    """From what a user writes: a name, or (name, parameter).

    Examples
    --------
    >>> as_epilogue(("leaky_relu", 0.2), True)
    Epilogue(residual=True, activation='leaky_relu', parameter=0.2)
    >>> as_epilogue(("gelu", "tanh"), False).activation
    'gelu_tanh'
    """
    name, parameter = activation, None
    if isinstance(activation, list | tuple):
        if len(activation) != 2:
            raise ValueError(f"activation must be {_FORMS}; got {shown(activation)}")
        name, parameter = activation
    if name is None and activation is None:
        return Epilogue(residual)
    if not isinstance(name, str):
        raise TypeError(f"activation must be {_FORMS}; got {shown(activation)}")
    if name not in _NAMED:
        raise ValueError(f"activation must be {_FORMS}; got {shown(activation)}{nearest(name, _NAMED)}")
    if name == "gelu":
        approximate = "none" if activation is name else parameter
        if not isinstance(approximate, str) or approximate not in _GELU:
            raise ValueError(
                f"activation's parameter of gelu must be 'none' or 'tanh'; got {shown(parameter)}"
            )
        return Epilogue(residual, _GELU[approximate])
    if name == "leaky_relu":
        return Epilogue(residual, name, SLOPE if activation is name else _slope(parameter))
    if activation is not name:
        raise ValueError(f"activation {name} has no parameter; got {shown(activation)}")
    return Epilogue(residual, name)


def _slope(parameter: Any) -> float:
    if isinstance(parameter, bool) or not isinstance(parameter, int | float | np.integer | np.floating):
        raise TypeError(f"activation's parameter of leaky_relu must be a number; got {shown(parameter)}")
    try:
        slope = float(parameter)
    except OverflowError:
        slope = math.inf
    if not math.isfinite(slope):
        raise ValueError(f"activation's parameter of leaky_relu must be finite; got {shown(parameter)}")
    return slope
