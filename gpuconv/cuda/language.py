"""What the kernels are written in: all that is taken from Numba's CUDA compiler, in one module.

The compiler, numba-cuda, is imported when a kernel is compiled, and not before: until then what a kernel
calls is `Deferred`, so that a machine whose kernels came compiled needs no compiler, and waits for none.

A compiler that takes the same Python is moved to here, in `cuda/ptx/` (whose intrinsics emit LLVM IR) and in
`cuda/runtime/compiler.py` (which calls it).
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import boolean, float32, float64, int32, int64, types, uint16, uint32, uint64


def numba_cuda() -> Any:
    """Numba's CUDA compiler, imported. numba-cuda 0.30 asks NumPy for one name that 2.5 no longer has."""
    if not hasattr(np, "row_stack"):
        np.row_stack = np.vstack  # type: ignore[attr-defined]
    import numba.cuda
    import numba_cuda

    return numba.cuda


def nvvm() -> Any:
    """The library that compiles to PTX, which numba-cuda looks for when a kernel is compiled."""
    numba_cuda()
    from numba.cuda.cudadrv.nvvm import NVVM

    return NVVM()


class Deferred:
    """Something of the compiler, or a function that kernels call, made when the compiler asks for it.

    Numba asks each value that a kernel names for its type, and for what it takes a function to be inlined by.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    @functools.cached_property
    def made(self) -> Any:
        return self._make()

    @property
    def _numba_type_(self) -> Any:
        made = self.made
        from numba.cuda.descriptor import cuda_target

        context = cuda_target.typing_context
        context.refresh()  # an intrinsic made just now is known from here on
        return context.resolve_value_type(made)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of what looks into every object, and is not the compiler
            raise AttributeError(name)
        return getattr(self.made, name)

    def __call__(self, *arguments: Any) -> Any:
        return self.made(*arguments)


class _Cuda(Deferred):
    """The module `numba.cuda`."""

    def jit(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """A function for kernels to call, compiled when one that calls it is."""
        if function is None:
            return functools.partial(self.jit, **options)
        return Deferred(lambda: self.made.jit(function, **options))


def intrinsic(definition: Callable[..., Any]) -> Deferred:
    """A function for kernels to call, whose LLVM IR `definition` emits."""

    def make() -> Any:
        numba_cuda()
        from numba.cuda.extending import intrinsic

        return intrinsic(definition)

    return Deferred(make)


def _libdevice() -> Any:
    numba_cuda()
    from numba.cuda import libdevice

    return libdevice


def _config_stack() -> Any:
    numba_cuda()
    from numba.cuda.core.targetconfig import ConfigStack

    return ConfigStack


cuda: Any = _Cuda(numba_cuda)
libdevice: Any = Deferred(_libdevice)
ConfigStack: Any = Deferred(_config_stack)
