"""What an error of shapes adds where axes seem to lie in the order of another library, channels last.

Only where a call fails is this looked at: axes of other orders can make a valid problem, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpuconv.spec.axis import Pair
from gpuconv.spec.idioms import idioms_of

FEW = 4  # channels of a picture: red, green, blue, alpha

_IMAGES = {4: (0, 3, 1, 2), 3: (2, 0, 1)}  # how channels that are last come before rows and columns
_WEIGHTS = {  # TensorFlow's, JAX's and Keras'; those of quantised TensorFlow; TensorFlow's depthwise
    "(R, S, C / groups, K)": (3, 2, 0, 1),
    "(K, R, S, C / groups)": (0, 3, 1, 2),
    "(R, S, K, C / groups)": (2, 3, 0, 1),
}


def hint_of_channels(input: Any, weight: Any, groups: int) -> str:
    """What to pass where the channels of an image and its kernels agree in another order; or nothing."""
    if weight.shape[1] == input.shape[-3]:
        return ""  # they agree as they are, and it is the groups that are wrong
    last = _IMAGES[len(input.shape)]
    others: list[tuple[Any, Any]] = [(None, order) for order in _WEIGHTS]
    for axes, order in [(last, None), *others, *((last, order) for _, order in others)]:
        image = _moved(input.shape, axes)
        kernels = _moved(weight.shape, None if order is None else _WEIGHTS[order])
        if _agree(image[-3:], kernels, groups):
            return _hint(input, axes, weight, order)
    return ""


@contextmanager
def noticing_channels(input: Any, window: Pair, dilation: Pair) -> Iterator[None]:
    """Say so of an image that is too small for a window, and would not be if its last axis were channels."""
    try:
        yield
    except ValueError as error:
        *_, rows, columns, channels = input.shape
        reach = [step * (taps - 1) + 1 for step, taps in zip(dilation, window, strict=True)]
        is_likely = 0 < channels <= FEW and rows >= reach[0] and columns >= reach[1]
        hint = _hint(input, _IMAGES[len(input.shape)]) if is_likely else ""
        raise ValueError(f"{error}{hint}") from None


def _moved(shape: tuple[int, ...], axes: tuple[int, ...] | None) -> tuple[int, ...]:
    return tuple(shape) if axes is None else tuple(shape[axis] for axis in axes)


def _agree(image: tuple[int, ...], kernels: tuple[int, ...], groups: int) -> bool:
    (C, H, W), (K, C_group, R, S) = image, kernels
    return C_group * groups == C and K % groups == 0 and 0 < R <= H and 0 < S <= W


def _hint(input: Any, axes: Any, weight: Any = None, order: str | None = None) -> str:
    conditions, expressions = [], []
    if axes is not None:
        conditions.append("they are input's last axis")
        expressions.append(idioms_of(input).reordered("input", axes))
    if order is not None:
        conditions.append(f"weight is {order}")
        expressions.append(idioms_of(weight).reordered("weight", _WEIGHTS[order]))
    return f"; channels come before rows: if {' and '.join(conditions)}, pass {' and '.join(expressions)}"
