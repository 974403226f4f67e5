"""A driver that only takes notes, in the place of cuda.bindings.driver: the calls, in order."""

import ctypes
import enum
from types import SimpleNamespace

from gpuconv.cuda.runtime import driver as driving
from gpuconv.cuda.runtime import gpu as describing
from gpuconv.cuda.runtime import launch as launching

CACHES = driving.start_driver, driving.primary_context, describing.gpu, launching._library, driving.has_pools


class Status(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_IMAGE = 200
    CUDA_ERROR_NOT_READY = 600
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900
    CUDA_ERROR_STREAM_CAPTURE_IMPLICIT = 906
    CUDA_ERROR_LAUNCH_FAILED = 719


# What may wait for the device, and is refused while a stream is captured
UNSAFE = "cuLibraryLoadData", "cuLibraryGetKernel", "cuKernelGetFunction", "cuMemAlloc", "cuMemFree"


class NotingDriver:
    """As much of cuda.bindings.driver as the launch path calls; `calls` is what was called, in order.

    Of a stream in `capturing` the work becomes nodes of `graph`, and what is no work of a stream and may wait
    for the device is an error, unless the thread has said that it may be. Allocations are handed out again as
    CUDA does it: an address of a stream to the next taker of that stream, one of a graph to nobody else. An
    event in `pending` is not reached.
    """

    CUresult = Status
    CUevent_flags = SimpleNamespace(CU_EVENT_DISABLE_TIMING=2)
    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR="major",
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR="minor",
        CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT="multiprocessors",
        CU_DEVICE_ATTRIBUTE_CLOCK_RATE="clock",
        CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE="memory clock",
        CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH="bus",
        CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE="cache",
        CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED="pools",
    )
    CUstreamCaptureStatus = SimpleNamespace(
        CU_STREAM_CAPTURE_STATUS_NONE=0, CU_STREAM_CAPTURE_STATUS_ACTIVE=1
    )
    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_RELAXED="relaxed")
    CUfunction_attribute = SimpleNamespace(
        CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES="static",
        CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES="dynamic",
    )

    def __init__(self, capability=(9, 0), slots=0):
        self.capability, self.slots = capability, slots
        self.context, self.calls, self.launches = 0, [], []
        self.launch_status = Status.CUDA_SUCCESS
        self.capturing, self.graph, self.mode = set(), [], "global"
        self.pools, self.free, self.next_address = 1, {}, 0x7000000
        self.pending = set()

    def __getattr__(self, name):
        """Anything else succeeds and hands out a number of its own."""

        def call(*arguments):
            self.calls.append((name, *arguments))
            if self.capturing and name in UNSAFE and self.mode != "relaxed":
                return (Status.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,)
            return (Status.CUDA_SUCCESS, 1000 + len(self.calls))

        return call

    def cuDeviceGetCount(self):
        return (Status.CUDA_SUCCESS, 2)

    def cuDeviceGet(self, ordinal):
        return (Status.CUDA_SUCCESS, ordinal)

    def cuDeviceGetName(self, length, handle):
        return (Status.CUDA_SUCCESS, b"Notebook GPU\0\0")

    def cuDeviceGetAttribute(self, attribute, handle):
        major, minor = self.capability
        values = {
            "major": major, "minor": minor, "multiprocessors": 108, "clock": 1_410_000,
            "memory clock": 1_593_000, "bus": 5120, "cache": 40 << 20,
            "pools": self.pools,
        }  # fmt: skip
        return (Status.CUDA_SUCCESS, values[attribute])

    def cuFuncGetAttribute(self, attribute, function):
        return (Status.CUDA_SUCCESS, 1024)

    def cuThreadExchangeStreamCaptureMode(self, mode):
        before, self.mode = self.mode, mode
        return (Status.CUDA_SUCCESS, before)

    def cuStreamIsCapturing(self, stream):
        if stream == 0 and self.capturing:
            return (Status.CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, 0)
        return (Status.CUDA_SUCCESS, int(stream in self.capturing))

    def cuMemAllocAsync(self, size, stream):
        self.calls.append(("cuMemAllocAsync", size, stream))
        free = [] if stream in self.capturing else self.free.setdefault(stream, [])
        if not free:
            self.next_address += 0x1000000
            free.append(self.next_address)
        address = free.pop()
        if stream in self.capturing:
            self.graph.append(("allocate", address))
        return (Status.CUDA_SUCCESS, address)

    def cuMemFreeAsync(self, address, stream):
        self.calls.append(("cuMemFreeAsync", address, stream))
        if stream in self.capturing:
            self.graph.append(("free", address))
        else:
            self.free.setdefault(stream, []).append(address)
        return (Status.CUDA_SUCCESS,)

    def cuEventQuery(self, event):
        return (Status.CUDA_ERROR_NOT_READY if event in self.pending else Status.CUDA_SUCCESS,)

    def cuDevicePrimaryCtxRetain(self, handle):
        return (Status.CUDA_SUCCESS, 70 + handle)

    def cuCtxGetCurrent(self):
        return (Status.CUDA_SUCCESS, self.context)

    def cuCtxPushCurrent(self, context):
        self.calls.append(("cuCtxPushCurrent", context))
        return (Status.CUDA_SUCCESS,)

    def cuCtxPopCurrent(self):
        self.calls.append(("cuCtxPopCurrent",))
        return (Status.CUDA_SUCCESS, 0)

    def cuGetErrorName(self, error):
        return (Status.CUDA_SUCCESS, error.name.encode())

    def cuGetErrorString(self, error):
        return (Status.CUDA_SUCCESS, b"unspecified launch failure")

    def cuLaunchKernel(self, function, gx, gy, gz, bx, by, bz, shared_bytes, stream, parameters, extra):
        addresses = (ctypes.c_void_p * self.slots).from_address(parameters)
        values = [ctypes.c_uint64.from_address(address).value for address in addresses]
        self.calls.append(("cuLaunchKernel", stream))
        if stream in self.capturing:
            self.graph.append(("launch", *values))
        self.launches.append(
            SimpleNamespace(grid=(gx, gy, gz), block=(bx, by, bz), stream=stream, values=values)
        )
        return (self.launch_status,)
