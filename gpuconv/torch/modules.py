"""`torch.nn`'s modules, computed by gpuconv: with its arguments, names of parameters and representations.

Each is a subclass of its namesake, of which it changes `forward` alone.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from gpuconv.torch import functions


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d`, computed by `gpuconv.torch.conv2d`.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> gpuconv.torch.Conv2d(3, 8, 3, padding=1)(torch.ones(1, 3, 5, 5)).shape
    torch.Size([1, 8, 5, 5])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functions.conv2d(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups,
            padding_mode=self.padding_mode,
        )  # fmt: skip


class ConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`, computed by `gpuconv.torch.conv_transpose2d`."""

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        geometry: Any = output_size, self.stride, self.padding, self.kernel_size, 2, self.dilation
        output_padding = self._output_padding(input, *geometry)
        return functions.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, output_padding, self.groups,
            self.dilation,
        )  # fmt: skip


class MaxPool2d(nn.MaxPool2d):
    """`torch.nn.MaxPool2d`, computed by `gpuconv.torch.max_pool2d`."""

    def forward(self, input: Tensor) -> Any:
        return functions.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip


class AvgPool2d(nn.AvgPool2d):
    """`torch.nn.AvgPool2d`, computed by `gpuconv.torch.avg_pool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        return functions.avg_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip


class LPPool2d(nn.LPPool2d):
    """`torch.nn.LPPool2d`, computed by `gpuconv.torch.lp_pool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        return functions.lp_pool2d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """`torch.nn.AdaptiveAvgPool2d`, computed by `gpuconv.torch.adaptive_avg_pool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        return functions.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveMaxPool2d(nn.AdaptiveMaxPool2d):
    """`torch.nn.AdaptiveMaxPool2d`, computed by `gpuconv.torch.adaptive_max_pool2d`."""

    def forward(self, input: Tensor) -> Any:
        return functions.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class MaxUnpool2d(nn.MaxUnpool2d):
    """`torch.nn.MaxUnpool2d`, computed by `gpuconv.torch.max_unpool2d`."""

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return functions.max_unpool2d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class Unfold(nn.Unfold):
    """`torch.nn.Unfold`, computed by `gpuconv.torch.unfold`."""

    def forward(self, input: Tensor) -> Tensor:
        return functions.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(nn.Fold):
    """`torch.nn.Fold`, computed by `gpuconv.torch.fold`."""

    def forward(self, input: Tensor) -> Tensor:
        return functions.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )


MODULES: dict[type[nn.Module], type[nn.Module]] = {
    kind.__mro__[1]: kind
    for kind in (
        Conv2d, ConvTranspose2d, MaxPool2d, AvgPool2d, LPPool2d, AdaptiveAvgPool2d, AdaptiveMaxPool2d,
        MaxUnpool2d, Unfold, Fold,
    )
}  # fmt: skip
