"""How much memory an algorithm may work in, beside its arrays: one limit for every engine.

An algorithm that needs more says so in `unsupported`, which asks `beyond_limit`; what an engine keeps
from call to call it drops when the limit no longer allows it.
"""

from collections.abc import Callable

from gpuconv.spec import as_integer

MOST = 2**63 - 1

limit = 64 << 20  # bytes; a part of what calls are remembered by
_listeners: list[Callable[[], None]] = []


def set_workspace_limit(bytes: int) -> None:
    """Let an algorithm work in at most so much memory of its own, and keep no larger buffer between calls.

    Parameters
    ----------
    bytes : int
        At least 0, at first 64 MiB, for each buffer of each thread. Less makes `conv2d` pass over the
        algorithms that need more. What has to be copied to be read, an input in another byte order or a
        pool's of 16 bits, is copied in pieces of so much, but not less than one row of windows sees.

    Raises
    ------
    TypeError, ValueError
        If `bytes` is no such number.

    Examples
    --------
    >>> import gpuconv
    >>> gpuconv.set_workspace_limit(16 << 20)  # 16 MiB
    >>> gpuconv.set_workspace_limit(64 << 20)
    """
    global limit
    limit = as_integer(bytes, "bytes", least=0, most=MOST)
    for notice in _listeners:
        notice()


def workspace_limit() -> int:
    """Bytes of memory that an algorithm may work in (see `set_workspace_limit`)."""
    return limit


def beyond_limit(needed: int) -> str | None:
    """Why an algorithm that needs so many bytes cannot run, or None where it can."""
    if needed <= limit:
        return None
    return f"it needs {needed} bytes to work in, more than the limit of {limit}"


def when_limit_changes(notice: Callable[[], None]) -> None:
    """Have `notice()` called, by the thread that sets it, after each change of the limit."""
    _listeners.append(notice)
