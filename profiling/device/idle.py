"""A GPU that does nothing, behind stand-ins for CuPy and CUDA's driver: what a call costs the host alone.

For machines without a GPU. The stand-ins' attributes and functions cost less than the real ones, by about two
microseconds a call with four arrays (estimated), so what is measured here is gpuconv's own share of a call.
Kernels are compiled and their arguments filled in; nothing is computed.
"""

import contextlib
import math
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

ARCHITECTURE = 9  # the capability's major number; every handle is this number too
POINTER = 1 << 20  # where each array begins; no kernel runs


class Array:
    """As much of a `cupy.ndarray` as gpuconv reads."""

    __slots__ = ("data", "dtype", "shape", "strides")
    __module__ = "cupy"
    __cuda_array_interface__ = None
    allocated = POINTER

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        steps = [self.dtype.itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        self.strides = tuple(steps)
        self.data = SimpleNamespace(ptr=Array.allocated, device_id=0)
        Array.allocated += -(-self.dtype.itemsize * math.prod(shape) // 512) * 512


class Driver:
    """`cuda.bindings.driver`, of which every function succeeds and nothing happens."""

    def __init__(self, real: ModuleType) -> None:
        for name in (
            "CUdevice_attribute",
            "CUfunction_attribute",
            "CUstreamCaptureStatus",
            "CUstreamCaptureMode",
        ):
            setattr(self, name, getattr(real, name))

    def __getattr__(self, name: str) -> Any:
        def succeed(*arguments: Any) -> tuple[int, Any]:
            return 0, b"idle" if name == "cuDeviceGetName" else ARCHITECTURE

        setattr(self, name, succeed)
        return succeed


def _cupy() -> ModuleType:
    module: Any = ModuleType("cupy")
    stream = SimpleNamespace(ptr=ARCHITECTURE)
    module.ndarray, module.empty = Array, Array
    module.cuda = SimpleNamespace(
        get_current_stream=lambda device=-1: stream, Device=lambda device=0: contextlib.nullcontext()
    )
    return module


@contextlib.contextmanager
def standing_in() -> Iterator[None]:
    """In its body, CuPy and the driver are the stand-ins."""
    from gpuconv.cuda.runtime import driver, gpu, launch

    caches = driver.start_driver, driver.primary_context, driver.has_pools, gpu.gpu, launch._library
    nothing = Driver(driver.driver)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(sys.modules, cupy=_cupy()))
        for module in (driver, gpu, launch):
            stack.enter_context(mock.patch.object(module, "driver", nothing))
        try:
            for cache in caches:
                cache.cache_clear()
            yield
        finally:
            for cache in caches:
                cache.cache_clear()


def place(array: np.ndarray) -> Array:
    """An array of that shape and dtype; nothing is copied."""
    return Array(array.shape, array.dtype)


def describe() -> tuple[str, str]:
    """The device's name, and the version of its driver."""
    return "none: stand-ins for CuPy and the driver", "none"
