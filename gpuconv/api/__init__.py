"""The public operators: signature, docstring, call; a file for each kind of them.

Each has the parameters of its namesake in `torch.nn.functional`, in the same order, and more by keyword. The
type of the arrays decides the device: NumPy computes on the CPU, CuPy on the GPU.
"""

from collections.abc import Callable
from typing import Any

from gpuconv import algorithm as algorithms
from gpuconv.api.convolutions import conv2d, conv_transpose2d, deform_conv2d
from gpuconv.api.patches import fold, unfold
from gpuconv.api.pools import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    lp_pool2d,
    max_pool2d,
    max_unpool2d,
    min_pool2d,
)
from gpuconv.call import understand

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "conv2d",
    "conv_transpose2d",
    "deform_conv2d",
    "explain",
    "fold",
    "lp_pool2d",
    "max_pool2d",
    "max_unpool2d",
    "min_pool2d",
    "unfold",
]


def explain(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> list[tuple[str, str]]:
    """The algorithms for a call, the one that would run first, each with its verdict; nothing is computed.

    Parameters
    ----------
    function : callable
        A public operator, such as `conv2d`.
    *arguments, **keywords
        As the operator takes them.

    Returns
    -------
    list of (str, str)
        Name and verdict of each algorithm of the engine that the arrays belong to.

    Raises
    ------
    TypeError, ValueError
        What the call would raise.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> verdicts = gpuconv.explain(gpuconv.max_pool2d, np.zeros((1, 3, 8, 8)), 2)
    >>> [name for name, verdict in verdicts][:3]
    ['pool_small', 'pool_widened', 'pool_norms']
    >>> dict(verdicts)["pool_global"]
    'unsupported: it takes one window for each plane, not 4 x 4'
    """
    call = understand(function, *arguments, **keywords)
    return algorithms.explain(call.algorithms, call.spec, call.layouts, call.device, call.forced)
