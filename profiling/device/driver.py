"""PTX on a CUDA device, with nothing but the CUDA driver and cuda.core's linker.

It imports neither Numba nor CuPy, so that it works where one of them does not.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from cuda.bindings import driver
from cuda.core import Linker, LinkerOptions, ObjectCode

from tests.ptx.arguments import Pointer
from tests.ptx.sample import Sample


class Device:
    """The first CUDA device, and a context of its own on it.

    Attributes
    ----------
    name : str
    capability : tuple of int
        Such as (9, 0).
    """

    def __init__(self) -> None:
        _check(driver.cuInit(0))
        handle = _check(driver.cuDeviceGet(0))
        attributes = driver.CUdevice_attribute
        self.name = _check(driver.cuDeviceGetName(256, handle)).split(b"\0")[0].decode()
        self.capability = tuple(
            _check(driver.cuDeviceGetAttribute(attribute, handle))
            for attribute in (
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
            )
        )
        self._context = _check(driver.cuDevicePrimaryCtxRetain(handle))
        _check(driver.cuCtxSetCurrent(self._context))

    def run(self, sample: Sample, arguments: Sequence[Any]) -> None:
        """Launch a sample; the arrays among the arguments hold the results afterwards.

        Raises
        ------
        RuntimeError
            With CUDA's name and text of what went wrong. The process can then do nothing more on the device.
        """
        function = self._load(sample)
        with ExitStack() as stack:
            slots = [_slot(argument, stack) for argument in arguments]
            addresses = (ctypes.c_void_p * len(slots))(*(ctypes.addressof(slot) for slot in slots))
            _check(
                driver.cuLaunchKernel(
                    function, *_three(sample.grid), *_three(sample.block), sample.shared_bytes, 0,
                    ctypes.addressof(addresses), 0,
                )
            )  # fmt: skip
            _check(driver.cuCtxSynchronize())

    def _load(self, sample: Sample) -> Any:
        major, minor = self.capability
        arch = f"sm_{major}{minor}" + "a" * sample.target.endswith("a")
        linker = Linker(ObjectCode.from_ptx(sample.text.encode()), options=LinkerOptions(arch=arch))
        library = _check(driver.cuLibraryLoadData(linker.link("cubin").code, [], [], 0, [], [], 0))
        (kernel,) = _check(driver.cuLibraryEnumerateKernels(1, library))
        function = _check(driver.cuKernelGetFunction(kernel))
        most = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        _check(driver.cuFuncSetAttribute(function, most, sample.shared_bytes))
        return function


def _slot(argument: Any, stack: ExitStack) -> Any:
    """Memory that holds one kernel parameter."""
    given = Pointer(argument) if isinstance(argument, np.ndarray) and argument.ndim else argument
    if isinstance(given, Pointer):
        return ctypes.c_uint64(stack.enter_context(_on_device(given.array)) + given.byte_offset)
    data = given if isinstance(given, bytes) else np.asarray(given).tobytes()
    return ctypes.create_string_buffer(data, len(data))


@contextmanager
def _on_device(array: np.ndarray) -> Iterator[int]:
    """The address of a copy of the array, which is copied back at the end."""
    memory = _check(driver.cuMemAlloc(max(array.nbytes, 1)))
    _check(driver.cuMemcpyHtoD(memory, array.ctypes.data, array.nbytes))
    yield int(memory)
    _check(driver.cuMemcpyDtoH(array.ctypes.data, memory, array.nbytes))
    _check(driver.cuMemFree(memory))


def _three(extent: int | tuple[int, ...]) -> tuple[int, int, int]:
    extents = (extent,) if isinstance(extent, int) else extent
    return (*extents, 1, 1, 1)[:3]


def _check(result: tuple) -> Any:
    error, *values = result
    if error != driver.CUresult.CUDA_SUCCESS:
        _, name = driver.cuGetErrorName(error)
        _, text = driver.cuGetErrorString(error)
        raise RuntimeError(f"{(name or b'unknown').decode()}: {(text or b'').decode()}")
    return values[0] if len(values) == 1 else tuple(values)
