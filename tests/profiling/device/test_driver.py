"""How a sample reaches the driver: a stand-in for it, whose device memory is the host's."""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("cuda.bindings")
device = pytest.importorskip("profiling.device.driver")

from tests import ptx  # noqa: E402
from tests.ptx.sample import Sample  # noqa: E402
from tests.ptx.samples import SAMPLES  # noqa: E402

NAMES = device.driver
DONE = NAMES.CUresult.CUDA_SUCCESS


class Driver:
    """Notes launches, and lets `kernel(parameters)` do their work, `parameters` being addresses of values."""

    CUresult, CUdevice_attribute = NAMES.CUresult, NAMES.CUdevice_attribute
    CUfunction_attribute = NAMES.CUfunction_attribute

    def __init__(self, kernel=lambda parameters: None):
        self.kernel, self.memory, self.launches, self.freed = kernel, {}, [], []
        self.status, self.attributes = DONE, []

    def __getattr__(self, name):
        if name not in ("cuInit", "cuCtxSetCurrent", "cuDevicePrimaryCtxRetain", "cuDeviceGet"):
            raise AttributeError(name)
        return lambda *arguments: (DONE, 0)

    def cuDeviceGetName(self, length, handle):
        return DONE, b"Server GPU\0\0\0"

    def cuDeviceGetAttribute(self, attribute, handle):
        return DONE, 9 if "MAJOR" in attribute.name else 0

    def cuLibraryLoadData(self, code, *options):
        assert code.startswith(b"\x7fELF")
        return DONE, "library"

    def cuLibraryEnumerateKernels(self, count, library):
        return DONE, ["kernel"][:count]

    def cuKernelGetFunction(self, kernel):
        return DONE, "function"

    def cuFuncSetAttribute(self, function, attribute, value):
        self.attributes.append((attribute.name, value))
        return (DONE,)

    def cuMemAlloc(self, size):
        buffer = ctypes.create_string_buffer(size)
        self.memory[ctypes.addressof(buffer)] = buffer
        return DONE, ctypes.addressof(buffer)

    def cuMemcpyHtoD(self, target, source, size):
        ctypes.memmove(target, source, size)
        return (DONE,)

    def cuMemcpyDtoH(self, target, source, size):
        ctypes.memmove(target, source, size)
        return (DONE,)

    def cuMemFree(self, memory):
        self.freed.append(memory)
        return (DONE,)

    def cuLaunchKernel(self, function, gx, gy, gz, bx, by, bz, shared_bytes, stream, parameters, extra):
        self.launches.append(
            SimpleNamespace(grid=(gx, gy, gz), block=(bx, by, bz), shared_bytes=shared_bytes)
        )
        self.kernel(ctypes.cast(parameters, ctypes.POINTER(ctypes.c_void_p)))
        return (DONE,)

    def cuCtxSynchronize(self):
        return (self.status,)

    def cuGetErrorName(self, error):
        return DONE, error.name.encode()

    def cuGetErrorString(self, error):
        return DONE, b"an illegal memory access was encountered"


TEXT = next(sample.text for sample in SAMPLES if sample.name == "brev.b32")


def open_with(monkeypatch, driver):
    monkeypatch.setattr(device, "driver", driver)
    return device.Device()


def value(kind, address):
    return kind.from_address(address).value


def test_arguments_arrive_and_arrays_come_back(monkeypatch):
    def kernel(parameters):
        x, inner = value(ctypes.c_uint64, parameters[0]), value(ctypes.c_uint64, parameters[1])
        seen.append(inner - list(driver.memory)[1])
        seen.extend([value(ctypes.c_float, parameters[2]), value(ctypes.c_int64, parameters[3])])
        seen.append(bytes((ctypes.c_char * 3).from_address(parameters[4])))
        ctypes.cast(x, ctypes.POINTER(ctypes.c_int32))[1] += 5

    driver, seen = Driver(kernel), []
    x, y = np.arange(4, dtype=np.int32), np.zeros(4, np.float64)
    arguments = [x, ptx.pointer(y, 16), np.float32(2.5), np.int64(-7), b"abc"]
    opened = open_with(monkeypatch, driver)
    opened.run(Sample("x", TEXT, lambda rng: [], grid=(2, 3), block=64, shared_bytes=49152), arguments)
    assert (opened.name, opened.capability) == ("Server GPU", (9, 0))
    assert seen == [16, 2.5, -7, b"abc"]
    np.testing.assert_array_equal(x, [0, 6, 2, 3])
    (launch,) = driver.launches
    assert (launch.grid, launch.block, launch.shared_bytes) == ((2, 3, 1), (64, 1, 1), 49152)
    assert driver.attributes == [("CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES", 49152)]
    assert sorted(driver.freed) == sorted(driver.memory)


def test_an_error_has_cudas_name_and_text(monkeypatch):
    driver = Driver()
    driver.status = NAMES.CUresult.CUDA_ERROR_ILLEGAL_ADDRESS
    with pytest.raises(RuntimeError, match="CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access"):
        open_with(monkeypatch, driver).run(Sample("x", TEXT, lambda rng: []), [np.zeros(4, np.int32)])
