"""A deformable convolution: every check of its arguments.

    y[n, k, p, q] = bias[k] + sum over c, r, s of w[k, c, r, s] * m * x[n, c] at (h, v)

    h = p stride - top + r dilation + the tap's first offset at (p, q),  v likewise with its second one

as `torchvision.ops.deform_conv2d` has it (Dai et al., "Deformable Convolutional Networks", 2017, and with the
mask m Zhu et al., "Deformable ConvNets v2", 2018). Between four pixels a value is interpolated linearly along
both axes; beyond the image it is 0.
"""

from dataclasses import replace
from typing import Any

from gpuconv.spec.checks import batched_shape, checked_dtype, same_dtype
from gpuconv.spec.conv import ConvSpec, check_beside, check_precision, weight_shape
from gpuconv.spec.dtypes import FLOATS
from gpuconv.spec.parameters import as_pads, as_pair


def of_deformed(
    input: Any, offset: Any, weight: Any, bias: Any = None, mask: Any = None, stride: Any = 1,
    padding: Any = 0, dilation: Any = 1, precision: Any = None,
) -> ConvSpec:  # fmt: skip
    """Check the arguments of `gpuconv.deform_conv2d`.

    Raises
    ------
    TypeError, ValueError
        Naming the wrong one.
    """
    dtype = checked_dtype(input, FLOATS)
    N, C, H, W = batched_shape(input)
    K, C_group, R, S = weight_shape(weight)
    groups = _groups_of(C, K, C_group)
    check_beside(weight, bias, dtype, K)
    stride, dilation = as_pair(stride, "stride", least=1), as_pair(dilation, "dilation", least=1)
    pads = as_pads(padding, (H, W), (R, S), stride, dilation)
    check_precision(precision)
    spec = ConvSpec(N, C, H, W, K, R, S, pads, stride, dilation, groups, dtype, precision)
    shape = (N, -1, spec.P, spec.Q)
    offset_groups = _offset_groups(offset, "offset", 2, spec, shape[4 - len(input.shape) :])
    same_dtype(offset, "offset", dtype)
    if mask is not None:
        same_dtype(mask, "mask", dtype)
        masks = _offset_groups(mask, "mask", 1, spec, shape[4 - len(input.shape) :])
        if masks != offset_groups:
            raise ValueError(
                f"mask must have {offset_groups * R * S} channels, half of those of offset, got shape "
                f"{tuple(mask.shape)}"
            )
    return replace(spec, offset_groups=offset_groups)


def _groups_of(C: int, K: int, C_group: int) -> int:
    """As many groups as the weight's channels go into the input's."""
    groups = C // C_group if C_group else 1
    if groups * C_group != C or groups == 0 or K % groups:
        raise ValueError(
            f"weight must have a number of channels (its dimension 1) that divides the {C} of input into as "
            f"many groups as divide its {K} output channels, got {C_group}"
        )
    return groups


def _offset_groups(array: Any, name: str, numbers: int, spec: ConvSpec, shape: tuple[int, ...]) -> int:
    """Groups of channels of the input that have offsets of their own: `numbers` channels a tap."""
    taps = spec.R * spec.S * numbers
    got = tuple(array.shape)
    channels = got[-3] if len(got) == len(shape) else 0
    wanted = tuple(channels if extent < 0 else extent for extent in shape)
    if got != wanted:
        form = ", ".join(str(extent) if extent >= 0 else f"{taps} * groups" for extent in shape)
        raise ValueError(f"{name} must have shape ({form}), got {got}")
    if channels == 0 or channels % taps or spec.C % (channels // taps):
        raise ValueError(
            f"{name} must have {taps} channels, {numbers} for each of {spec.R}x{spec.S} taps, times a number "
            f"of groups that divides the {spec.C} channels of input, got {channels}"
        )
    return channels // taps
