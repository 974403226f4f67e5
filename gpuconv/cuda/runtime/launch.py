"""From a plan to a running kernel: loaded machine code, patched pointers, the caller's stream.

numba-cuda's own launch synchronises the stream for each CuPy array (numba-cuda issues 477 and 578), so it is
not used. A `Launch` is made once per problem and memory layout; on each call the pointers are patched into
its argument buffer and the kernel is queued on the stream of the output, without a synchronisation, a copy or
an allocation, so that CUDA graphs can capture it.
"""

import ctypes
import functools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cuda.bindings import driver

from gpuconv.cuda.device.limits import SHARED_BYTES
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.compiler import NoCompiler
from gpuconv.cuda.runtime.cubins import Cubin
from gpuconv.cuda.runtime.driver import allowed_in_a_capture, check, current, refuse_forked_child
from gpuconv.cuda.runtime.gpu import gpu

MAX_BLOCKS = 2**31 - 1  # of a grid's first axis


@dataclass(slots=True)
class Launch:
    """A kernel with everything but its pointers: made once, started often.

    Attributes
    ----------
    kernel : Kernel
    blocks : int
    shared_bytes : int
        Of dynamic shared memory, for a block.
    scalars : mapping
        The value of each parameter of the kernel that is no pointer, by name, in any order.
    values : tuple of int
        The same in the kernel's order.
    """

    kernel: Kernel
    blocks: int
    shared_bytes: int
    scalars: Mapping[str, int]
    values: tuple[int, ...] = field(init=False)
    _functions: dict[int, Any] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)
    _slots: Any = None
    _addresses: Any = None
    _parameters: int = 0
    _pointers: int = field(init=False)

    elements: ClassVar[int] = 0  # of memory between kernels

    def __post_init__(self) -> None:
        self._pointers = len(self.kernel.pointers)
        self.values = self.kernel.bind(self.scalars)

    def queue(self, ordinal: int, stream: int, pointers: Sequence[int]) -> None:
        """Queue the kernel on a stream of a device, behind all that its arrays wait for.

        The kernel takes as many of the pointers as it has; 0 is a null one.
        """
        if self.blocks == 0:
            return
        refuse_forked_child()
        with current(ordinal), self._lock:
            self.start(ordinal, stream, pointers)

    def start(self, ordinal: int, stream: int, pointers: Sequence[int]) -> None:
        """Queue the kernel in the current context of a device, while no other thread starts it."""
        if self.blocks == 0:
            return
        function = self._functions.get(ordinal) or self._load(ordinal)
        slots = self._slots or self._make_buffer()
        slots[: self._pointers] = pointers[: self._pointers]
        status = driver.cuLaunchKernel(
            function, self.blocks, 1, 1, self.kernel.threads, 1, 1, self.shared_bytes, stream,
            self._parameters, 0,
        )  # fmt: skip
        if status[0]:  # else the driver has copied the arguments
            check(status)

    def _load(self, ordinal: int) -> Any:
        with allowed_in_a_capture():
            function = loaded(self.kernel, ordinal)
            if self.shared_bytes > SHARED_BYTES:
                allow_shared(function, ordinal)
        self._functions[ordinal] = function
        return function

    def _make_buffer(self) -> Any:
        """One 8-byte slot per argument (a 4-byte one is read from its low half), and the slots' addresses."""
        count = self._pointers + len(self.values)
        self._slots = (ctypes.c_uint64 * count)(*[0] * self._pointers, *self.values)
        base = ctypes.addressof(self._slots)
        self._addresses = (ctypes.c_void_p * count)(*[base + 8 * i for i in range(count)])
        self._parameters = ctypes.addressof(self._addresses)
        return self._slots


def steps(**arrays: Sequence[int]) -> dict[str, int]:
    """The strides of arrays by the names that kernels give them.

    Examples
    --------
    >>> steps(x_hw=(9, 1), bias_k=(1,))
    {'x_h': 9, 'x_w': 1, 'bias_k': 1}
    """
    found = {}
    for name, strides in arrays.items():
        array, axes = name.rsplit("_", 1)
        found.update({f"{array}_{axis}": step for axis, step in zip(axes, strides, strict=True)})
    return found


def loaded(kernel: Kernel, ordinal: int) -> Any:
    """The kernel's function on a device, loaded into its (current) primary context."""
    arch = gpu(ordinal).arch
    library = _library(kernel, arch)
    handle = check(driver.cuLibraryGetKernel(library, kernel.cubin(arch).entry.encode()))
    return check(driver.cuKernelGetFunction(handle))


def allow_shared(function: Any, ordinal: int) -> None:
    """Let a function have as much dynamic shared memory as a block of the device can."""
    attributes = driver.CUfunction_attribute
    static = check(driver.cuFuncGetAttribute(attributes.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function))
    dynamic = attributes.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    check(driver.cuFuncSetAttribute(function, dynamic, gpu(ordinal).block_shared_bytes - static))


@functools.cache
def _library(kernel: Kernel, arch: str) -> Any:
    """A kernel's machine code, loaded; built anew if the driver does not know that of newer compilers."""
    found = kernel.cubin(arch)
    try:
        return _load_library(found)
    except RuntimeError as error:
        try:
            rebuilt = kernel.rebuilt(arch, found)
        except NoCompiler as missing:
            raise RuntimeError(
                f"{error}: of the driver, for {kernel.name} as built by {found.compilers}, and {missing}"
            ) from error
        if rebuilt is None:
            raise
    return _load_library(rebuilt)


def _load_library(cubin: Cubin) -> Any:
    return check(driver.cuLibraryLoadData(cubin.code, [], [], 0, [], [], 0))
