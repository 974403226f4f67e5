"""Tensors of torch: which of them lie in memory as they read, and which stand for something else.

Within a transformation of torch a call is refused before its tensors are looked at (`transforms.py`).
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from importlib import import_module
from sys import modules
from typing import Any

import numpy as np

from gpuconv.arrays.idioms import TORCH
from gpuconv.arrays.libraries import Library
from gpuconv.arrays.memory import is_channels_last
from gpuconv.arrays.refusals import DTYPES, Refused, wrong_dtype
from gpuconv.arrays.transforms import Transforms
from gpuconv.arrays.views import DeviceArray, Signature, View, dtype_of
from gpuconv.spec.dtypes import BFLOAT16
from gpuconv.spec.idioms import Idioms


class TorchLibrary(Library):
    name = "torch"
    plain = "{}.as_subclass(torch.Tensor)"

    def idioms(self, device: int | None) -> Idioms:
        return TORCH

    def begin(self, names: tuple[str, ...], arrays: tuple[Any, ...]) -> None:
        self._transforms.refuse(names, arrays)

    @cached_property
    def _transforms(self) -> Transforms:
        return Transforms()

    def view(self, array: Any) -> View:
        if array.is_cpu and not array.requires_grad:  # which torch.compile's `numpy` does not look at
            try:
                return array.numpy()
            except (TypeError, RuntimeError, ValueError):  # it is sparse, of bfloat16, ..
                pass
        return self._view(array)

    def target(self, array: Any) -> View:
        if array.is_conj():  # what is written beneath such a bit reads otherwise, and `view` would be a copy
            raise Refused("it is conjugated lazily: pass {name}.resolve_conj()")
        if array.is_neg():
            raise Refused("it is negated lazily: pass {name}.resolve_neg()")
        if array.is_inference() and not modules["torch"].is_inference_mode_enabled():
            raise Refused(
                "it was made in torch.inference_mode, outside of which it may not be written to: pass "
                "{name}.clone()"
            )
        if array._is_zerotensor():
            raise Refused("it has no elements, being all zero: pass {name}.clone()")
        return self.view(array)

    def wrote(self, array: Any) -> None:
        """Have autograd know: a tensor that it saved for a gradient, and that is not the same any more."""
        if not array.is_inference():
            modules["torch"].autograd.graph.increment_version(array)

    def _view(self, array: Any) -> View:
        """Of what torch does not hand over to NumPy as it is."""
        if reason := _reason(array):
            raise Refused(reason)
        if array.is_cuda:
            return _on_a_gpu(array)
        if reason := _rare_reason(array):
            raise Refused(reason)
        array = array.detach().resolve_conj().resolve_neg()
        if array._is_zerotensor():
            array = array.clone()
        torch = modules["torch"]
        if array.dtype == torch.bfloat16:
            return array.view(torch.int16).numpy().view(dtype_of(BFLOAT16))
        return array.numpy()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype, device: int | None) -> Any:
        return modules["torch"].empty(shape, dtype=_torch_dtype(dtype), device=_torch_device(device))

    def empty_channels_last(self, shape: tuple[int, ...], dtype: np.dtype, device: int | None) -> Any:
        torch = modules["torch"]
        return torch.empty(
            shape, dtype=_torch_dtype(dtype), device=_torch_device(device), memory_format=torch.channels_last
        )

    def finish(self, input: Signature, is_formatted: bool) -> Callable[[Any], Any] | None:
        is_wanted = is_channels_last(input.shape, input.strides) and not is_formatted
        return self._channels_last if is_wanted else None

    def _channels_last(self, array: Any) -> Any:
        """A copy whose channels lie side by side, where the kernels do not write it so.

        On the CPU NumPy copies, since torch's threads would be left spinning beside those of the next call.
        """
        torch: Any = modules["torch"]
        last = torch.empty_like(array, memory_format=torch.channels_last)
        if array.is_cpu:
            target: Any = self.view(last)
            target[...] = self.view(array)
        else:
            last.copy_(array)
        return last

    def address(self, array: Any) -> int:
        return array.data_ptr()

    def current_stream(self, device: int) -> int:
        return import_module("torch").cuda.current_stream(device).cuda_stream


@lru_cache(maxsize=16)
def _torch_dtype(dtype: np.dtype) -> Any:
    return getattr(modules["torch"], dtype.name)


@lru_cache(maxsize=64)
def _torch_device(device: int | None) -> Any:
    """Named, since a program may have another default."""
    return modules["torch"].device("cpu" if device is None else f"cuda:{device}")


def _on_a_gpu(array: Any) -> DeviceArray:
    array = array.detach().resolve_conj().resolve_neg()
    pointer, itemsize = array.data_ptr(), array.element_size()
    if not pointer and array.numel():  # of shapes alone, or of tensors within
        raise Refused(_rare_reason(array) or "its elements lie nowhere")
    return DeviceArray(
        pointer,
        tuple(array.shape),
        tuple(step * itemsize for step in array.stride()),
        _dtype(array.dtype),
        array.device.index,
        modules["torch"].cuda.current_stream(array.device).cuda_stream,
        owner=array,
    )


def _reason(array: Any) -> str | None:
    """Why a tensor is not read as it is; torch says it in words for its developers."""
    torch = modules["torch"]
    if array.is_nested:
        return "it is nested: torch.nested.to_padded_tensor({name}, 0) makes one of equal rows"
    if array.is_quantized:
        return "it is quantized: pass {name}.dequantize()"
    if array.layout != torch.strided:
        return f"its layout is {array.layout}, not torch.strided: pass {{name}}.to_dense()"
    if array.requires_grad and torch.is_grad_enabled():
        return (
            "it requires grad, which gpuconv does not record: use the functions of gpuconv.torch, which do, "
            "or pass {name}.detach()"
        )
    return None


def _rare_reason(array: Any) -> str | None:
    """Why its elements cannot be had."""
    torch = modules["torch"]
    if type(array).__torch_dispatch__ is not torch._C._disabled_torch_dispatch_impl:
        return "its elements are those of tensors within it: pass a plain torch.Tensor"
    if torch._C._functorch.is_functorch_wrapped_tensor(array) or torch._is_functional_tensor(array):
        return "it is of a transformation of torch.func that has ended, and its elements lie nowhere"
    place = array.device.type
    if place == "meta":
        return "its device is meta, where tensors have no values"
    if place not in ("cpu", "cuda"):
        return f"its device is {array.device}; gpuconv computes on cpu and cuda: pass {{name}}.cpu()"
    _dtype(array.dtype)
    return None


@lru_cache(maxsize=32)
def _dtype(dtype: Any) -> np.dtype:
    """NumPy's dtype for torch's; operators say whether they take it."""
    name = str(dtype).removeprefix("torch.")
    if name in DTYPES or name == "bool":
        return dtype_of(name)
    wider = "torch.complex64" if dtype.is_complex else "torch.float32"
    can_be_cast = dtype.is_complex or (dtype.is_floating_point and not name.endswith("_x2"))
    raise wrong_dtype(dtype, f"{{name}}.to({wider})" if can_be_cast else "")
