"""gpuconv's operators as functions of traced arrays: for `jax.jit`, `jax.vmap` and `jax.grad`.

Shapes are told by the specs while a program is traced; XLA calls `handler` when it runs. Many calls become
one: images are those of one call, kernels have groups of channels of their own.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from gpuconv.arrays import Signature
from gpuconv.arrays.frameworks import JaxLibrary
from gpuconv.call import OPTIONAL, brief, results_of
from gpuconv.jax import handler
from gpuconv.operators import OPERATORS

LIBRARY = JaxLibrary()
Arrays = tuple[Any, ...]  # of an operator, but `out`; None for what is left out
Parameters = tuple[tuple[str, Any], ...]  # by name
IMAGES = "input", "grad_output", "residual"  # of convolutions
CONJUGATED = {"conv2d_input": 1, "conv2d_weight": 0}  # the place of what they conjugate, which is undone here
BY_GROUPS = "conv2d", "conv_transpose2d", "conv2d_input", "conv2d_weight", "conv2d_bias"
GRADIENTS: dict[str, Callable[..., dict[str, Any]]] = {}  # by the names of operators: see `gradients`

handler.register()


def apply(name: str, arrays: Arrays, **parameters: Any) -> Any:
    """Call an operator with what a user wrote: its result, or its results."""
    operator = OPERATORS[name]
    given = {each: parameters.get(each, DEFAULTS.get(each)) for each in operator.parameters}
    signatures = tuple(_signature(array, of) for array, of in zip(arrays, operator.arrays[:-1], strict=True))
    try:
        results_of(operator, signatures, tuple(given.values()))
    except (TypeError, ValueError) as error:
        raise brief(error) from error.__cause__
    return _differentiable(name, tuple((each, _plain(value)) for each, value in given.items()), arrays)


DEFAULTS = {
    "padding": 0, "dilation": 1, "groups": 1, "padding_mode": "zeros", "ceil_mode": False,
    "count_include_pad": True, "output_padding": 0, "return_indices": False,
}  # fmt: skip


def _signature(array: Any, name: str) -> Signature | None:
    if array is None and name in OPTIONAL:
        return None
    kind: Any = type(array)  # JAX has a type of its own for constants of NumPy
    if not isinstance(array, jax.Array) and kind is not np.ndarray and not kind.__module__.startswith("jax."):
        raise TypeError(f"{name} must be an array of JAX, got {type(array).__name__}")
    return Signature(LIBRARY, tuple(array.shape), (), np.dtype(array.dtype))


def _plain(value: Any) -> Any:
    """A parameter of Python's own numbers and tuples, which has a hash and can be written as a text."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _differentiable(name: str, parameters: Parameters, arrays: Arrays) -> Any:
    return _batched(name, parameters, arrays)


def _forward(name: str, parameters: Parameters, arrays: Arrays) -> tuple[Any, Any]:
    results = _differentiable(name, parameters, arrays)
    return results, (arrays, results)


def _backward(name: str, parameters: Parameters, residuals: Any, grad: Any) -> tuple[Arrays]:
    arrays, results = residuals
    names = OPERATORS[name].arrays[:-1]
    if name not in GRADIENTS:
        raise TypeError(f"{name} has no gradient")
    grad = grad[0] if isinstance(grad, tuple) else grad
    given = dict(zip(names, arrays, strict=True))
    found = GRADIENTS[name](dict(parameters), given, results, grad)
    return (tuple(None if array is None else found.get(each) for each, array in given.items()),)


_differentiable.defvjp(_forward, _backward)


def _batched(name: str, parameters: Parameters, arrays: Arrays) -> Any:
    present = [place for place, array in enumerate(arrays) if array is not None]

    def spread(given: Any) -> Arrays:
        """The arrays that there are, at their places."""
        found = dict(zip(present, given, strict=True))
        return tuple(found.get(place) for place in range(len(arrays)))

    @custom_vmap
    def one(*given: Any) -> Any:
        return _call(name, parameters, spread(given))

    @one.def_vmap
    def many(count: int, are_many: Any, *given: Any) -> Any:
        whole = [
            array if is_many else jnp.broadcast_to(array, (count, *array.shape))
            for array, is_many in zip(given, are_many, strict=True)
        ]
        names = OPERATORS[name].arrays
        share = not any(
            is_many
            for place, is_many in zip(present, are_many, strict=True)
            if names[place] in ("weight", "bias")
        )
        by_images = name not in BY_GROUPS or (share and name not in ("conv2d_weight", "conv2d_bias"))
        if by_images:
            whole = [
                array if names[place] in ("weight", "bias") else each
                for place, array, each in zip(present, given, whole, strict=True)
            ]
        result = (_by_images if by_images else _by_groups)(name, parameters, count, spread(whole))
        return result, jax.tree.map(lambda _: True, result)

    return one(*[arrays[place] for place in present])


def _by_images(name: str, parameters: Parameters, B: int, arrays: Arrays) -> Any:
    """(B, N, C, H, W) -> (B N, C, H, W)."""
    operator, first = OPERATORS[name], arrays[0]
    is_batch = first.ndim - 1 == operator.axes
    N = first.shape[1] if is_batch else 1
    given = dict(parameters)
    if "input_size" in given:
        given["input_size"] = (B * N, *given["input_size"][-3:])
    if name == "max_unpool2d" and isinstance(given["output_size"], tuple):
        given["output_size"] = given["output_size"][-2:]
    merged = tuple(
        array.reshape(B * N, *array.shape[2:])
        if array is not None and is_batch and of not in ("weight", "bias")
        else array
        for of, array in zip(operator.arrays, arrays, strict=False)
    )
    results = _batched(name, tuple(given.items()), merged)
    return jax.tree.map(lambda each: each.reshape(B, N, *each.shape[1:]) if is_batch else each, results)


def _by_groups(name: str, parameters: Parameters, B: int, arrays: Arrays) -> Any:
    """(B, N, C, H, W) -> (N, B C, H, W), and (B, K, C / groups, R, S) -> (B K, C / groups, R, S)."""
    given, merged = dict(parameters), []
    for of, array in zip(OPERATORS[name].arrays, arrays, strict=False):
        if array is not None:
            axis = array.ndim - 4 if of in IMAGES else 0  # of channels, in each call
            array = jnp.moveaxis(array, 0, axis)
            array = array.reshape(*array.shape[:axis], B * array.shape[axis + 1], *array.shape[axis + 2 :])
        merged.append(array)
    if "groups" in given:
        given["groups"] = given["groups"] * B
    for size, axis in (("input_size", -3), ("weight_size", 0)):
        if size in given:
            extents = list(given[size])
            extents[axis] *= B
            given[size] = tuple(extents)
    result = _batched(name, tuple(given.items()), tuple(merged))
    axis = 0 if name in ("conv2d_weight", "conv2d_bias") else result.ndim - 3
    shape = (*result.shape[:axis], B, result.shape[axis] // B, *result.shape[axis + 1 :])
    return jnp.moveaxis(result.reshape(shape), axis, 0)


def _call(name: str, parameters: Parameters, arrays: Arrays) -> Any:
    operator, values = OPERATORS[name], tuple(value for _, value in parameters)
    if (place := CONJUGATED.get(name)) is not None and jnp.iscomplexobj(arrays[place]):
        arrays = (*arrays[:place], jnp.conj(arrays[place]), *arrays[place + 1 :])
    signatures = tuple(map(_signature, arrays, operator.arrays))
    shapes = [
        jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype.numpy))
        for shape, dtype in results_of(operator, signatures, values)
    ]
    text = handler.describe(operator, [array is not None for array in arrays], values)
    call = jax.ffi.ffi_call(handler.TARGET, shapes)
    results = call(*[array for array in arrays if array is not None], call=text)
    return results[0] if len(results) == 1 else tuple(results)
