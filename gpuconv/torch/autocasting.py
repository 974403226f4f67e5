"""What `torch.autocast` does to the operators: convolutions take its dtype, pools that of their input.

So do PyTorch's. A weight is cast at every call; PyTorch keeps what it cast.
"""

from collections.abc import Callable
from typing import Any

import torch

from gpuconv.torch.operators import CONV2D, CONV_TRANSPOSE2D, LIBRARY, TorchOperator

DEVICES = {"cpu": "AutocastCPU", "cuda": "AutocastCUDA"}


def _cast(argument: Any, device: str, dtype: torch.dtype) -> Any:
    """A tensor of floats on the device in the dtype, unless it has 64 bits; what else there is as it is."""
    if not isinstance(argument, torch.Tensor) or argument.device.type != device:
        return argument
    is_cast = argument.is_floating_point() and argument.dtype != torch.float64
    return argument.to(dtype) if is_cast else argument


def _casting(operator: TorchOperator, device: str, key: str) -> Callable[..., Any]:
    keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))

    def call(*arguments: Any) -> Any:
        dtype = torch.get_autocast_dtype(device)
        with torch._C._ExcludeDispatchKeyGuard(keys):
            return operator.overload(*[_cast(each, device, dtype) for each in arguments])

    return call


def _cast_if_on(arguments: Any) -> list[Any]:
    """What `torch.func` differentiates has to be cast before, for its formula keeps what it is given."""
    for device in DEVICES:
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            arguments = [_cast(each, device, dtype) for each in arguments]
    return [*arguments]


for _operator in (CONV2D, CONV_TRANSPOSE2D):
    _operator.cast = _cast_if_on
    for _device, _key in DEVICES.items():
        LIBRARY.impl(_operator.name, _casting(_operator, _device, _key), _key)
