"""SciPy's `correlate2d` and `convolve2d`, of stacks of images, each with the same kernel or with its own.

The arguments are those of `scipy.signal`; the stack is what it asks a loop for.
"""

from typing import Any

import numpy as np

import gpuconv

BOUNDARIES = {"fill": "zeros", "wrap": "circular"}


def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: float = 0) -> Any:
    """Of images (..., H, W) and kernels (R, S), or (..., R, S), one for each image: (..., P, Q).

    `mode` is "full", "same" or "valid", `boundary` what lies beyond an image: "fill", of `fillvalue`, "wrap"
    or "symm". No kernel may be larger than the images.
    """
    return _filtered(in1, in2.conj(), _sides(mode, in2.shape[-2:], is_turned=False), boundary, fillvalue)


def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: float = 0) -> Any:
    """Likewise, by kernels that are turned around."""
    turned = in2[..., ::-1, ::-1]
    return _filtered(in1, turned, _sides(mode, in2.shape[-2:], is_turned=True), boundary, fillvalue)


def _sides(mode: str, kernel: Any, is_turned: bool) -> list[tuple[int, int]]:
    """Before and behind each axis: of an even kernel "same" leaves out one more at one end."""
    if mode == "same":
        sides = [((taps - 1) // 2, taps // 2) for taps in kernel]
        return [(after, before) for before, after in sides] if is_turned else sides
    return [{"full": (taps - 1, taps - 1), "valid": (0, 0)}[mode] for taps in kernel]


def _filtered(images: Any, kernels: Any, sides: Any, boundary: str, fillvalue: float) -> Any:
    *stack, H, W = images.shape
    planes = images.reshape(1, -1, H, W)
    groups = planes.shape[1]
    if kernels.ndim == 2:  # one for all: each image is a batch of one channel
        planes, groups = planes.reshape(-1, 1, H, W), 1
    planes, sides = _continued(planes, sides, boundary, fillvalue)
    result = gpuconv.conv2d(
        planes, kernels.reshape(-1, 1, *kernels.shape[-2:]), padding=sides, groups=groups,
        padding_mode=BOUNDARIES.get(boundary, "zeros"),
    )  # fmt: skip
    return result.reshape(*stack, *result.shape[-2:])


def _continued(planes: Any, sides: Any, boundary: str, fillvalue: float) -> Any:
    """What there is no mode for is padded here: mirrored with the border itself, or other than zeros."""
    if boundary in BOUNDARIES and not (boundary == "fill" and fillvalue):
        return planes, sides
    around = ((0, 0), (0, 0), *sides)
    if boundary == "symm":
        return np.pad(planes, around, "symmetric"), 0
    return np.pad(planes, around, constant_values=fillvalue), 0
