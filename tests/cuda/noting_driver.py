"""A driver that only takes notes, in the place of cuda.bindings.driver: the calls, in order."""

import ctypes
import enum
from types import SimpleNamespace

from gpuconv.cuda.runtime import driver as driving
from gpuconv.cuda.runtime import gpu as describing
from gpuconv.cuda.runtime import launch as launching

CACHES = driving.start_driver, driving.primary_context, describing.gpu, launching._library


class Status(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_LAUNCH_FAILED = 719


class NotingDriver:
    """As much of cuda.bindings.driver as the launch path calls; `calls` is what was called, in order."""

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
    )
    CUfunction_attribute = SimpleNamespace(
        CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES="static",
        CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES="dynamic",
    )

    def __init__(self, capability=(9, 0), slots=0):
        self.capability, self.slots = capability, slots
        self.context, self.calls, self.launches = 0, [], []
        self.launch_status = Status.CUDA_SUCCESS

    def __getattr__(self, name):
        """Anything else succeeds and hands out a number of its own."""

        def call(*arguments):
            self.calls.append((name, *arguments))
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
        }  # fmt: skip
        return (Status.CUDA_SUCCESS, values[attribute])

    def cuFuncGetAttribute(self, attribute, function):
        return (Status.CUDA_SUCCESS, 1024)

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
        self.launches.append(
            SimpleNamespace(grid=(gx, gy, gz), block=(bx, by, bz), stream=stream, values=values)
        )
        return (self.launch_status,)
