"""CUDA's driver: started once, its errors as Python's, its contexts and the order of its streams."""

import functools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from cuda.bindings import driver

DEFAULTS = (0, 1)  # the default stream, which cannot be captured, nor asked for it while another one is
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


def is_capturing(stream: int) -> bool:
    """Whether what is queued on a stream of the current device becomes part of a CUDA graph."""
    status = check(driver.cuStreamIsCapturing(stream))
    return status == driver.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_ACTIVE


@contextmanager
def allowed_in_a_capture() -> Iterator[None]:
    """Let this thread do what is no part of a graph, such as load code, while a stream is being captured."""
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
    before = check(driver.cuThreadExchangeStreamCaptureMode(mode))
    try:
        yield
    finally:
        check(driver.cuThreadExchangeStreamCaptureMode(before))


@functools.cache
def has_pools(ordinal: int) -> bool:
    """Whether a device allocates memory in the order of a stream."""
    attribute = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED
    return bool(check(driver.cuDeviceGetAttribute(attribute, check(driver.cuDeviceGet(ordinal)))))


def allocate(size: int, stream: int) -> int:
    """The address of `size` bytes of the current device, from here on in the order of a stream."""
    return int(check(driver.cuMemAllocAsync(size, stream)))


def free(address: int, stream: int) -> None:
    """Give memory from `allocate` back, behind what is queued on a stream."""
    check(driver.cuMemFreeAsync(address, stream))


def recorded(stream: int) -> Any:
    """An event that is reached when all that is queued on a stream of the current device is done."""
    event = check(driver.cuEventCreate(driver.CUevent_flags.CU_EVENT_DISABLE_TIMING))
    check(driver.cuEventRecord(event, stream))
    return event


def is_reached(event: Any) -> bool:
    """Whether an event is reached, which is then gone; an error of the device ends its work too."""
    (status,) = driver.cuEventQuery(event)
    if status == driver.CUresult.CUDA_ERROR_NOT_READY:
        return False
    driver.cuEventDestroy(event)
    return True


def wait_for(producers: Iterable[int], consumer: int, ordinal: int) -> None:
    """Let later work on the stream `consumer` wait for earlier work on the streams `producers`, on a device.

    The host does not wait. The work of a graph that is captured waits for work of the same graph alone: for
    all else whoever runs the graph has to.
    """
    foreign = {producer for producer in producers if producer != consumer}
    if not foreign:
        return
    with current(ordinal):
        if is_capturing(consumer):
            foreign = {
                producer for producer in foreign if producer not in DEFAULTS and is_capturing(producer)
            }
        for producer in foreign:
            event = recorded(producer)
            try:
                check(driver.cuStreamWaitEvent(consumer, event, 0))
            finally:
                check(driver.cuEventDestroy(event))
