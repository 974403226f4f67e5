"""Kernels compiled by Numba: once per dtype, without the GIL, kept on disk.

A kernel takes arrays of any strides and alignment, so neither shape nor memory layout ever compiles anew, and
it sees its inputs as read-only.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock

from gpuconv.cpu.engine.cache import KernelCache
from gpuconv.spec.dtypes import FLOATS, Dtype

njit: Any = numba.njit  # which takes more options than it declares
_compiling = threading.RLock()

# "contract" lets a product and a sum become one fused operation, and changes nothing about NaN. Without
# Numba's runtime no array is counted by references, atomically, wherever a row of one is taken; a kernel can
# allocate nothing, and works in memory from `gpuconv.cpu.engine.workspace`.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "_nrt": False}


class Kernel:
    """`function`, compiled for each dtype when it is first needed: `kernel[FLOAT32](*arguments)`.

    Parameters
    ----------
    signature : callable
        `signature(scalar)` gives the argument types for elements of the Numba type `scalar`.
    dtypes : tuple of Dtype
        All that it is called for, which `gpuconv compile --cpu` compiles.
    releases_gil : bool
        Whether other threads run meanwhile, as they may unless it looks into Python objects.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: Callable[[Any], tuple],
        dtypes: tuple[Dtype, ...] = FLOATS,
        releases_gil: bool = True,
    ) -> None:
        room = function.__module__.removeprefix("gpuconv.cpu.").replace(".", "_").rstrip("_")
        self.name = f"{room}.{function.__name__}"
        self.function = function
        self.signature = signature
        self.dtypes = dtypes
        self.releases_gil = releases_gil
        self.dispatchers: dict[Dtype, Any] = {}
        self.__doc__ = function.__doc__

    def __getitem__(self, dtype: Dtype) -> Any:
        """Numba's dispatcher, which finds out the types of what it is called with."""
        dispatcher = self.dispatchers.get(dtype)
        if dispatcher is None:
            with _compiling:
                dispatcher = self.dispatchers.get(dtype) or self._compile(dtype)
                self.dispatchers[dtype] = dispatcher
        return dispatcher

    def entry(self, dtype: Dtype) -> Callable[..., Any]:
        """The compiled function itself, for arguments that are known to have the types of the signature.

        It takes a third of the dispatcher's time. Of an array it checks that it is one and the size of its
        elements, but not how many axes it has: the layouts that it was planned for say that.
        """
        (compiled,) = self[dtype].overloads.values()
        return compiled.entry_point

    def address(self, dtype: Dtype) -> int:
        """Where the compiled function lies, for kernels that call it (`simd.addresses`)."""
        (compiled,) = self[dtype].overloads.values()
        return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)

    def _compile(self, dtype: Dtype) -> Any:
        if getattr(numba.config, "DISABLE_JIT", 0):
            raise RuntimeError("NUMBA_DISABLE_JIT is set, and the CPU engine runs only when it is compiled")
        dispatcher = njit(nogil=self.releases_gil, no_cfunc_wrapper=True, **OPTIONS)(self.function)
        dispatcher._cache = KernelCache(self.name, self.function)
        dispatcher.compile(self.signature(getattr(numba, dtype)))
        dispatcher.disable_compile()
        return dispatcher


def kernel(
    signature: Callable[[Any], tuple], dtypes: tuple[Dtype, ...] = FLOATS
) -> Callable[[Callable[..., None]], Kernel]:
    """Decorate a function as a `Kernel`."""
    return lambda function: Kernel(function, signature, dtypes)


_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **OPTIONS}

# Decorators of functions that kernels call: LLVM decides whether to inline; it does; Numba does, before
# anything is typed, which compiles quickest where there is one caller.
inner = njit(**_INNER)
inlined = njit(forceinline=True, **_INNER)
merged = njit(inline="always", **OPTIONS)


def source(scalar: Any, ndim: int) -> Any:
    """The type of an input array: any strides, any alignment, never written."""
    return numba.types.Array(scalar, ndim, "A", readonly=True, aligned=False)


def target(scalar: Any, ndim: int) -> Any:
    """The type of an output array: any strides, any alignment."""
    return numba.types.Array(scalar, ndim, "A", aligned=False)


def workspace(scalar: Any) -> Any:
    """The type of an array from `engine.workspace`, and of the counter of tasks: one row of elements."""
    return numba.types.Array(scalar, 1, "C")


TASKS = workspace(numba.int64), numba.int64
"""The types of a kernel's last two arguments: the counter that `claim` takes tasks from, and their number."""


def _acquire() -> None:
    _compiling.acquire()
    global_compiler_lock.acquire()


def _release() -> None:
    global_compiler_lock.release()
    _compiling.release()


# A child forked while another thread compiles would wait for ever for that thread's locks.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_release)
