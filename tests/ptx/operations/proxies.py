"""``fence.proxy.async``: between the generic and the asynchronous proxy."""

from __future__ import annotations

from ..proxies import Proxies
from ..registry import Binder, Step, operation


@operation("fence.proxy.async", writes=0)
def fence_proxy_async(op: Binder) -> Step:
    space = op.take("shared::cta", "shared::cluster", "global")
    only = None if space is None else space.split("::")[0]
    proxies = op.machine.extension(Proxies)
    return lambda active: proxies.fence(active, only)
