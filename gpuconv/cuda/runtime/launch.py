"""From a plan to a running kernel: devices, loaded machine code, patched pointers, the caller's stream.

numba-cuda's own launch synchronises the stream for each CuPy array (numba-cuda issues 477 and 578), so it is
not used. A `Launch` is made once per problem and memory layout; on each call the pointers are patched into
its argument buffer and the kernel is queued on the stream of the output, without a synchronisation, a copy or
an allocation, so that CUDA graphs can capture it.
"""

import ctypes
import functools
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cuda.bindings import driver

from gpuconv.arrays import DeviceArray
from gpuconv.cuda.device.limits import SHARED_BYTES
from gpuconv.cuda.runtime.compiled import ARCHITECTURES, Kernel, compute_capability

OLDEST = (7, 5)
MAX_BLOCKS = 2**31 - 1  # of a grid's first axis
FORK_HINT = (
    "A process that was forked after CUDA had started in its parent cannot use it: start it with the 'spawn' "
    "method of multiprocessing, or compute on NumPy arrays"
)


@dataclass(frozen=True, slots=True)
class Device:
    """A CUDA device: its ordinal, its name, and the architecture whose machine code it runs."""

    ordinal: int
    name: str
    capability: tuple[int, int]

    @property
    def arch(self) -> str:
        """The newest of our architectures of the device's generation that is not newer than the device."""
        if self.capability < OLDEST:
            major, minor = self.capability
            raise RuntimeError(
                f"GPU {self.ordinal} ({self.name}) is sm_{major}{minor}; gpuconv needs sm_75 or newer"
            )
        major, minor = self.capability
        known = [arch for arch in ARCHITECTURES if compute_capability(arch)[0] == major]
        fitting = [arch for arch in known if compute_capability(arch)[1] <= minor]
        return fitting[-1] if fitting else f"sm_{major}{minor}"


@dataclass(slots=True)
class Launch:
    """A kernel with everything but its pointers: made once, started often.

    `scalars` are the kernel's arguments after the pointers.
    """

    kernel: Kernel
    blocks: int
    shared_bytes: int
    scalars: tuple[int, ...]
    _functions: dict[int, Any] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)
    _values: Any = None
    _addresses: Any = None
    _parameters: int = 0

    elements: ClassVar[int] = 0  # of memory between kernels

    def start(self, output: DeviceArray, *arrays: DeviceArray | None) -> "Launch":
        """Queue the kernel with `arrays` as its pointers, None for a null one, on the stream of `output`."""
        stream = output.stream
        foreign = {array.stream for array in arrays if array is not None and array.stream != stream}
        if foreign and self.blocks:
            with current(output.device):
                for producer in foreign:
                    wait_for(producer, stream)
        self.queue(output.device, stream, [0 if array is None else array.pointer for array in arrays])
        return self

    def queue(self, device: int, stream: int, pointers: Sequence[int]) -> None:
        """Queue the kernel on a stream of a device, behind all that its arrays wait for."""
        if self.blocks == 0:
            return
        refuse_forked_child()
        with current(device):
            function = self._functions.get(device) or self._load(device)
            with self._lock:  # the driver has copied the arguments when it returns
                values = self._values or self._make_buffer(len(pointers))
                values[: len(pointers)] = pointers
                status = driver.cuLaunchKernel(
                    function, self.blocks, 1, 1, self.kernel.threads, 1, 1, self.shared_bytes, stream,
                    self._parameters, 0,
                )  # fmt: skip
            if status[0]:
                check(status)

    def _load(self, device: int) -> Any:
        function = loaded(self.kernel, device)
        if self.shared_bytes > SHARED_BYTES:
            allow_shared(function, device)
        self._functions[device] = function
        return function

    def _make_buffer(self, pointers: int) -> Any:
        """One 8-byte slot per argument (a 4-byte one is read from its low half), and the slots' addresses."""
        count = pointers + len(self.scalars)
        self._values = (ctypes.c_uint64 * count)(*[0] * pointers, *self.scalars)
        base = ctypes.addressof(self._values)
        self._addresses = (ctypes.c_void_p * count)(*[base + 8 * i for i in range(count)])
        self._parameters = ctypes.addressof(self._addresses)
        return self._values


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


def devices() -> list[Device]:
    """The CUDA devices of this machine; none where there is no driver."""
    try:
        start_driver()
    except RuntimeError:
        return []
    return [device(i) for i in range(check(driver.cuDeviceGetCount()))]


@functools.cache
def device(ordinal: int) -> Device:
    """One device by its ordinal."""
    start_driver()
    handle = check(driver.cuDeviceGet(ordinal))
    name = check(driver.cuDeviceGetName(256, handle)).split(b"\0")[0].decode()
    attributes = driver.CUdevice_attribute
    major = check(
        driver.cuDeviceGetAttribute(attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, handle)
    )
    minor = check(
        driver.cuDeviceGetAttribute(attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, handle)
    )
    return Device(ordinal, name, (major, minor))


@functools.cache
def multiprocessors(ordinal: int) -> tuple[int, int]:
    """(Multiprocessors of a device, bytes of shared memory of each)."""
    start_driver()
    handle, attributes = check(driver.cuDeviceGet(ordinal)), driver.CUdevice_attribute
    count = check(driver.cuDeviceGetAttribute(attributes.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, handle))
    most = attributes.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
    return count, check(driver.cuDeviceGetAttribute(most, handle))


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


def loaded(kernel: Kernel, ordinal: int) -> Any:
    """The kernel's function on a device, loaded into its (current) primary context."""
    cubin = kernel.cubin(device(ordinal).arch)
    library = _library(kernel, device(ordinal).arch)
    handle = check(driver.cuLibraryGetKernel(library, cubin.entry.encode()))
    return check(driver.cuKernelGetFunction(handle))


def allow_shared(function: Any, ordinal: int) -> None:
    """Let a function have as much dynamic shared memory as a block of the device can."""
    most = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    attributes = driver.CUfunction_attribute
    static = check(driver.cuFuncGetAttribute(attributes.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function))
    size = check(driver.cuDeviceGetAttribute(most, check(driver.cuDeviceGet(ordinal)))) - static
    dynamic = attributes.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    check(driver.cuFuncSetAttribute(function, dynamic, size))


@functools.cache
def _library(kernel: Kernel, arch: str) -> Any:
    return check(driver.cuLibraryLoadData(kernel.cubin(arch).code, [], [], 0, [], [], 0))


def wait_for(producer: int, consumer: int) -> None:
    """Let later work on the stream `consumer` wait for earlier work on `producer`, on the device."""
    event = check(driver.cuEventCreate(driver.CUevent_flags.CU_EVENT_DISABLE_TIMING))
    try:
        check(driver.cuEventRecord(event, producer))
        check(driver.cuStreamWaitEvent(consumer, event, 0))
    finally:
        check(driver.cuEventDestroy(event))
