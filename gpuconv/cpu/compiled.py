"""Kernels compiled by Numba: once per dtype, without the GIL, kept on disk.

A kernel takes arrays of any strides and alignment, so neither shape nor memory layout ever compiles anew, and
it sees its inputs as read-only.
"""

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock

log = logging.getLogger("gpuconv")
_compiling = threading.RLock()


class Kernel:
    """`function`, compiled for each dtype when it is first needed: `kernel["float32"](*arguments)`.

    Parameters
    ----------
    signature : callable
        `signature(scalar)` gives the argument types for elements of the Numba type `scalar`.
    """

    def __init__(self, function: Callable[..., None], signature: Callable[[Any], tuple]) -> None:
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.function = function
        self.signature = signature
        self.dispatchers: dict[str, Any] = {}
        self.__doc__ = function.__doc__

    def __getitem__(self, dtype: str) -> Callable[..., None]:
        dispatcher = self.dispatchers.get(dtype)
        if dispatcher is None:
            with _compiling:
                dispatcher = self.dispatchers.get(dtype) or self._compile(dtype)
                self.dispatchers[dtype] = dispatcher
        return dispatcher

    def _compile(self, dtype: str) -> Callable[..., None]:
        # "contract" lets a product and a sum become one fused operation, and changes nothing about NaN
        dispatcher: Any = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})(self.function)
        try:
            dispatcher._cache = SurvivingCache(self.function)
        except RuntimeError as error:
            log.info("no folder for Numba's cache can be written: %s", error)
        dispatcher.compile(self.signature(getattr(numba, dtype)))
        dispatcher.disable_compile()
        return dispatcher


class SurvivingCache(FunctionCache):
    """Numba's on-disk cache, where a damaged or unwritable file costs a compilation and not the call."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # unpickling damaged data raises almost anything
            log.warning("a damaged file in Numba's cache at %s is replaced: %r", self.cache_path, error)
            self._try(self.flush)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        self._try(lambda: super(SurvivingCache, self).save_overload(sig, data))

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # saving reads the index first, which may be damaged too
            log.info("Numba's cache at %s cannot be written: %s", self.cache_path, error)


def kernel(signature: Callable[[Any], tuple]) -> Callable[[Callable[..., None]], Kernel]:
    """Decorate a function as a `Kernel`."""
    return lambda function: Kernel(function, signature)


def source(scalar: Any, ndim: int) -> Any:
    """The type of an input array: any strides, any alignment, never written."""
    return numba.types.Array(scalar, ndim, "A", readonly=True, aligned=False)


def target(scalar: Any, ndim: int) -> Any:
    """The type of an output array: any strides, any alignment."""
    return numba.types.Array(scalar, ndim, "A", aligned=False)


def _acquire() -> None:
    _compiling.acquire()
    global_compiler_lock.acquire()


def _release() -> None:
    global_compiler_lock.release()
    _compiling.release()


# A child forked while another thread compiles would wait for ever for that thread's locks.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_release)
