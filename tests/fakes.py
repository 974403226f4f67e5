"""Stand-ins for CuPy and for arrays on a GPU, whose elements really lie in the CPU's memory.

They let the dispatch by array type, the streams, the devices and the rules for `out` be tested where there is
no GPU; what a kernel computes is not their subject.
"""

import ctypes
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np

from gpuconv.algorithm import ANY, Algorithm
from gpuconv.spec import ConvSpec, PoolSpec

CURRENT_STREAM = {0: 70, 1: 71}  # handles, by device


class CudaInterface:
    """Any object with `__cuda_array_interface__`: `host` is its memory."""

    def __init__(self, host, device=0, stream=None, **changes):
        self.host, self.number = host, device
        readonly = not host.flags.writeable
        self.__cuda_array_interface__ = {
            "shape": host.shape,
            "typestr": host.dtype.str,
            "data": (host.ctypes.data, readonly),
            "strides": None if host.flags.c_contiguous else host.strides,
            "stream": stream,
            "version": 3,
            **changes,
        }
        DEVICE_OF[host.ctypes.data] = device


DEVICE_OF: dict[int, int] = {}  # what the driver would know about a pointer


class DLPack:
    """Any object that speaks DLPack and nothing else."""

    def __init__(self, host, device_type=1, number=0):
        self.host, self.place = host, (device_type, number)

    def __dlpack__(self, **keywords):
        return self.host.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self.place


class FakeCuPyArray:
    def __init__(self, host, device=0):
        self.host, self.device = host, SimpleNamespace(id=device)
        self.data = SimpleNamespace(ptr=host.ctypes.data, device_id=device)
        self.shape, self.strides, self.dtype = host.shape, host.strides, host.dtype

    @property
    def __cuda_array_interface__(self):
        return CudaInterface(self.host, self.device.id).__cuda_array_interface__

    def fill(self, value):
        self.host.fill(value)


FakeCuPyArray.__module__, FakeCuPyArray.__qualname__ = "cupy", "ndarray"


def cupy_module() -> ModuleType:
    """A module with what gpuconv uses of CuPy."""
    cupy = ModuleType("cupy")
    current = [0]

    class Device:
        def __init__(self, number=None):
            self.id = current[-1] if number is None else number

        def __enter__(self):
            current.append(self.id)

        def __exit__(self, *exception):
            current.pop()

    def pointer_attributes(pointer):
        return SimpleNamespace(device=DEVICE_OF[pointer])

    cupy.ndarray = FakeCuPyArray
    cupy.empty = lambda shape, dtype: FakeCuPyArray(np.empty(shape, dtype), current[-1])
    cupy.from_dlpack = lambda array: FakeCuPyArray(array.host, array.place[1])
    cupy.cuda = SimpleNamespace(
        Device=Device,
        get_current_stream=lambda device=-1: SimpleNamespace(ptr=CURRENT_STREAM[device]),
        runtime=SimpleNamespace(pointerGetAttributes=pointer_attributes),
    )
    return cupy


class FakeNumbaArray(CudaInterface):
    __cuda_array_interface__ = None  # its class says that its arrays have one


FakeNumbaArray.__module__ = "numba.cuda.cudadrv.devicearray"


def numba_cuda_module() -> ModuleType:
    """A module with what gpuconv uses of numba.cuda."""
    module = ModuleType("numba.cuda")
    current = [0]

    class OnDevice:
        def __init__(self, number):
            self.number = number

        def __enter__(self):
            current.append(self.number)

        def __exit__(self, *exception):
            current.pop()

    module.gpus = {number: OnDevice(number) for number in (0, 1)}
    module.device_array = lambda shape, dtype: FakeNumbaArray(np.empty(shape, dtype), current[-1])
    return module


class Engine(ModuleType):
    """An engine for GPUs that notes what is queued and fills the results with 42."""

    def __init__(self):
        super().__init__("gpuconv.cuda")
        self.calls = []
        self.waited = []
        self.refusal = None
        self.scratch = 0  # elements that its plans ask for
        self.held = []
        listed = tuple(self.algorithm(name) for name in ("chosen", "forced"))
        self.ALGORITHMS = {"conv": listed, "pool": listed}

    def algorithm(self, name):
        """One that takes everything."""
        takes = {field.name: ANY for kind in (ConvSpec, PoolSpec) for field in fields(kind)}

        def plan(spec, layouts, device):
            return SimpleNamespace(elements=self.scratch, queue=partial(self.queue, name, spec, layouts))

        return Algorithm(name, takes, lambda *problem: None, lambda *problem: True, plan, "tests")

    def device(self, ordinal):
        if self.refusal is not None:
            raise self.refusal
        return ordinal

    def wait_for(self, producers, consumer, ordinal):
        self.waited += [(producer, consumer, ordinal) for producer in producers]

    def hold(self, owners, ordinal, stream):
        self.held.append((owners, ordinal, stream))

    @contextmanager
    def Scratch(self, library, elements, ordinal, stream):
        address, owner = library.scratch(elements, ordinal)
        yield address
        del owner

    def queue(self, name, spec, layouts, ordinal, stream, pointers):
        arrays = {}
        for argument, layout, pointer in zip(layouts._fields, layouts, pointers, strict=False):
            arrays[argument] = layout and Array(pointer, layout.shape, layout.strides, layout.dtype, ordinal)
        scratch = pointers[len(layouts) :]
        self.calls.append(
            SimpleNamespace(spec=spec, algorithm=name, stream=stream, scratch=scratch, **arrays)
        )
        for result in (arrays["y"], arrays.get("indices")):
            if result is not None:
                _host(result)[...] = 42


class Array(NamedTuple):
    """What was queued of an array."""

    pointer: int
    shape: tuple
    strides: tuple
    dtype: np.dtype
    device: int


def _host(view):
    """The memory behind an array on a GPU, of stand-ins."""
    reach = (
        sum((n - 1) * step for n, step in zip(view.shape, view.strides, strict=True)) + view.dtype.itemsize
    )
    storage = np.ctypeslib.as_array((ctypes.c_uint8 * reach).from_address(view.pointer))
    return np.lib.stride_tricks.as_strided(storage.view(view.dtype), view.shape, view.strides)
