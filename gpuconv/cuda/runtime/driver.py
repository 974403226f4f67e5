"""CUDA's driver: started once, its errors as Python's, its contexts and the order of its streams."""

import functools
import os
from collections.abc import Iterable
from typing import Any

from cuda.bindings import driver

FORK_HINT = (
    "A process that was forked after CUDA had started in its parent cannot use it: start it with the 'spawn' "
    "method of multiprocessing, or compute on NumPy arrays"
)


def check(result: tuple) -> Any:
    """The value of a driver call, or a RuntimeError with CUDA's own name and text for what went wrong."""
    error, *values = result
    if error:
        _, name = driver.cuGetErrorName(error)
        _, text = driver.cuGetErrorString(error)
        raise RuntimeError(f"CUDA: {(name or b'unknown').decode()}: {(text or b'').decode()}")
    return values[0] if len(values) == 1 else tuple(values)


@functools.cache
def start_driver() -> int:
    """Start CUDA, and return the process that it was started in."""
    try:
        check(driver.cuInit(0))
    except RuntimeError as error:
        raise RuntimeError(f"{error}. Is there a GPU and its driver? {FORK_HINT}") from error
    return os.getpid()


def refuse_forked_child() -> None:
    """Raise RuntimeError in a child that was forked after CUDA had started, where CUDA does not work."""
    if start_driver() != os.getpid():
        raise RuntimeError(f"CUDA cannot be used in this process. {FORK_HINT}")


@functools.cache
def primary_context(ordinal: int) -> Any:
    """The context that CuPy, torch and Numba use on a device too."""
    start_driver()
    return check(driver.cuDevicePrimaryCtxRetain(check(driver.cuDeviceGet(ordinal))))


class current:
    """Make a device's primary context current, and restore what was current before."""

    __slots__ = ("_is_pushed", "_ordinal")

    def __init__(self, ordinal: int) -> None:
        self._ordinal = ordinal

    def __enter__(self) -> None:
        context = primary_context(self._ordinal)
        error, found = driver.cuCtxGetCurrent()
        self._is_pushed = error or int(found) != int(context)
        if self._is_pushed:
            check(driver.cuCtxPushCurrent(context))

    def __exit__(self, *error: object) -> None:
        if self._is_pushed:
            check(driver.cuCtxPopCurrent())


def wait_for(producers: Iterable[int], consumer: int, ordinal: int) -> None:
    """Let later work on the stream `consumer` wait for earlier work on the streams `producers`, on a device.

    The host does not wait.
    """
    foreign = {producer for producer in producers if producer != consumer}
    if not foreign:
        return
    with current(ordinal):
        for producer in foreign:
            event = check(driver.cuEventCreate(driver.CUevent_flags.CU_EVENT_DISABLE_TIMING))
            try:
                check(driver.cuEventRecord(event, producer))
                check(driver.cuStreamWaitEvent(consumer, event, 0))
            finally:
                check(driver.cuEventDestroy(event))
