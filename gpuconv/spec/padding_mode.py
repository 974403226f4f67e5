"""What an image continues with beyond its borders: zeros, or itself, as a padding mode says.

zeros       0 0 | a b c d | 0 0
reflect     c b | a b c d | c b      less than the image on each side
replicate   a a | a b c d | d d
circular    c d | a b c d | a b      at most the image on each side
"""

from typing import Any

import numpy as np

from gpuconv.spec.axis import Pair
from gpuconv.spec.parameters import Pads
from gpuconv.spec.shown import nearest, shown

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
MIRRORED = PADDING_MODES[1:]  # that read the image again


def check_padding_mode(padding_mode: Any, pads: Pads, size: Pair) -> str:
    """The mode, if it is one that an image of this size can be padded by so much in."""
    if not isinstance(padding_mode, str):
        raise TypeError(f"padding_mode must be one of {', '.join(PADDING_MODES)}; got {shown(padding_mode)}")
    if padding_mode not in PADDING_MODES:
        hint = nearest(padding_mode, PADDING_MODES)
        raise ValueError(
            f"padding_mode must be one of {', '.join(PADDING_MODES)}; got {shown(padding_mode)}{hint}"
        )
    if padding_mode == "zeros":
        return padding_mode
    for extent, sides in zip(size, pads, strict=True):
        most = {"reflect": extent - 1, "circular": extent}.get(padding_mode, 2**62 if extent else 0)
        if max(sides) > max(most, 0):
            raise ValueError(
                f"padding must be at most {max(most, 0)} for padding_mode={padding_mode!r} and an input of "
                f"{extent} along that axis; got {sides}"
            )
    return padding_mode


def continued(places: np.ndarray, extent: int, mode: str) -> np.ndarray:
    """Where in an axis what lies at these places is read, which may be beyond its borders."""
    if mode == "circular":
        return places % extent
    if mode == "reflect":
        return np.where(places < 0, -places, np.where(places >= extent, 2 * (extent - 1) - places, places))
    return places.clip(0, extent - 1)
