"""PTX from a Numba kernel on a machine without a GPU, device functions included."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock


def compile_numba(function: Callable[..., Any], signature: Any, arch: str = "sm_90a", **options: Any) -> str:
    """The PTX of a kernel written in Numba CUDA, for an architecture such as "sm_80" or "sm_90a".

    `numba.cuda.compile` needs no device, but asks the driver for one as soon as the kernel calls a function
    decorated with ``@cuda.jit(device=True)``; here it is told the architecture instead.

    Parameters
    ----------
    function : callable
        The kernel, undecorated (for a decorated one pass its ``py_func``).
    signature : numba signature
        Such as ``void(float32[::1], float32)``.
    arch : str
    **options
        For `numba.cuda.compile`: ``fastmath``, ``launch_bounds`` ...

    Returns
    -------
    str

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda, float32, void
    >>> from tests import ptx
    >>> @cuda.jit(device=True)
    ... def square(x):
    ...     return x * x
    >>> def squares(x):
    ...     i = cuda.grid(1)
    ...     if i < x.size:
    ...         x[i] = square(x[i])
    >>> x = np.arange(5, dtype=np.float32)
    >>> text = ptx.compile_numba(squares, void(float32[::1]), "sm_80")
    >>> _ = ptx.Kernel(text).launch(1, 32, ptx.numba_array(x))
    >>> x
    array([ 0.,  1.,  4.,  9., 16.], dtype=float32)
    """
    from numba import cuda
    from numba.cuda import dispatcher

    found = re.fullmatch(r"sm_(\d+)(\d)([af]?)", arch)
    if found is None:
        raise ValueError(f"arch must be of the form sm_90a; got {arch!r}")
    major, minor, suffix = found.groups()
    capability = (int(major), int(minor), suffix) if suffix else (int(major), int(minor))
    device = SimpleNamespace(compute_capability=capability[:2])
    with mock.patch.object(dispatcher, "get_current_device", lambda: device):
        text, _ = cuda.compile(function, signature, device=False, abi="numba", cc=capability, **options)
    return text
