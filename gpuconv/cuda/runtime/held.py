"""Arrays of others, held until the kernels that read them are through.

A library that orders its memory on streams of its own, as JAX does, may hand it on as soon as the last
reference to an array is gone, while our kernel is still queued on another stream. So a reference is held,
with an event behind the kernel, and let go of at a later call.
"""

import threading
from typing import Any

from gpuconv.cuda.runtime.driver import current, is_capturing, is_reached, recorded

_held: list[tuple[Any, tuple[Any, ...]]] = []
_holding = threading.Lock()


def hold(owners: tuple[Any, ...], ordinal: int, stream: int) -> None:
    """Hold objects until all that is queued on a stream of a device now is done.

    In a capture nothing is held: whoever runs the graph keeps the arrays that it was captured with.
    """
    with current(ordinal):
        if not is_capturing(stream):
            event = recorded(stream)
            with _holding:
                let_go = _take_done()
                _held.append((event, owners))
            let_go.clear()  # outside of the lock: what these objects do when they go is theirs


def _take_done() -> list[Any]:
    done: list[Any] = []
    left: list[Any] = []
    for entry in _held:
        (done if is_reached(entry[0]) else left).append(entry)
    _held[:] = left
    return done
