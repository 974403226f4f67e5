"""gpuconv for PyTorch: differentiable functions, modules, and models whose convolutions it computes.

>>> import torch, gpuconv.torch
>>> x = torch.ones(1, 1, 3, 3, requires_grad=True)
>>> gpuconv.torch.avg_pool2d(x, 3).backward()
>>> x.grad[0, 0, 0]
tensor([0.1111, 0.1111, 0.1111])
>>> model = gpuconv.torch.replace(torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU()))
>>> model(x).shape
torch.Size([1, 4, 1, 1])

`import gpuconv` does not import it, nor torch.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("gpuconv.torch needs PyTorch: pip install torch") from error

from gpuconv.torch import (  # noqa: F401  (what autograd, vmap and autocast ask for)
    autocasting,
    conv_gradients,
    pool_gradients,
)
from gpuconv.torch.functions import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    conv2d,
    conv_transpose2d,
    deform_conv2d,
    fold,
    lp_pool2d,
    max_pool2d,
    max_unpool2d,
    min_pool2d,
    unfold,
)
from gpuconv.torch.modules import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    Fold,
    LPPool2d,
    MaxPool2d,
    MaxUnpool2d,
    Unfold,
)
from gpuconv.torch.replacing import replace

__all__ = [
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "Conv2d",
    "ConvTranspose2d",
    "Fold",
    "LPPool2d",
    "MaxPool2d",
    "MaxUnpool2d",
    "Unfold",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "conv2d",
    "conv_transpose2d",
    "deform_conv2d",
    "fold",
    "lp_pool2d",
    "max_pool2d",
    "max_unpool2d",
    "min_pool2d",
    "replace",
    "unfold",
]
