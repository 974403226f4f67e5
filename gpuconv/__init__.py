"""2-D convolution and pooling on NCHW batches: NumPy arrays on the CPU, CuPy arrays on the GPU.

>>> import numpy as np, gpuconv
>>> images = np.ones((8, 3, 32, 32), np.float32)
>>> kernels = np.ones((16, 3, 3, 3), np.float32)
>>> gpuconv.conv2d(images, kernels, padding="same").shape
(8, 16, 32, 32)

Importing this package imports no GPU library and compiles nothing; an engine is loaded at its first call.
"""

from gpuconv import (
    folders,  # noqa: F401  (notes the working directory of this moment)
    grad,
)
from gpuconv.api import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    conv2d,
    conv_transpose2d,
    deform_conv2d,
    explain,
    fold,
    lp_pool2d,
    max_pool2d,
    max_unpool2d,
    min_pool2d,
    unfold,
)
from gpuconv.plan import plan_conv2d
from gpuconv.precision import set_precision
from gpuconv.threads import get_num_threads, set_num_threads
from gpuconv.workspace import set_workspace_limit

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "conv2d",
    "conv_transpose2d",
    "deform_conv2d",
    "explain",
    "fold",
    "get_num_threads",
    "grad",
    "lp_pool2d",
    "max_pool2d",
    "max_unpool2d",
    "min_pool2d",
    "plan_conv2d",
    "set_num_threads",
    "set_precision",
    "set_workspace_limit",
    "unfold",
]
__version__ = "0.2.0"
