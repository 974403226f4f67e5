"""Calls on xarray's DataArrays: computed of the arrays inside, with dimensions, coordinates and attributes.

The last two dimensions are rows and columns, and before them channels and images, as everywhere. A result has
the coordinates of the place in the middle of each window, of two the one before: those of the input at stride
1, and every second of them at stride 2. Where windows have their middles beyond the image, as those of
`padding="full"` do, and where a transposed convolution spreads pixels, an axis has none; nor have the
channels that a convolution makes of all, unless its weight names them.

>>> import numpy as np, xarray, gpuconv
>>> x = xarray.DataArray(np.ones((1, 4, 6)), {"x": [0, 5, 10, 15, 20, 25]}, ("band", "y", "x"))
>>> gpuconv.max_pool2d(x, 2).x.values.tolist()
[0, 10, 20]

Nothing here is imported before a DataArray comes.
"""

from typing import Any

import numpy as np
import xarray

from gpuconv.call import make
from gpuconv.operators import Operator
from gpuconv.spec.crops import keeps_channels, middles

__all__ = ["call"]

TAKEN = (
    "conv2d", "conv_transpose2d", "max_pool2d", "min_pool2d", "avg_pool2d", "lp_pool2d",
    "adaptive_avg_pool2d", "adaptive_max_pool2d",
)  # fmt: skip


def call(
    operator: Operator, arrays: tuple[Any, ...], parameters: tuple[Any, ...], algorithm: str | None
) -> Any:
    """The result, or (values, indices), of a call of which an array is a DataArray.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, as the call of the arrays inside would.
    """
    _check(operator, arrays)
    inside = tuple(each.data if isinstance(each, xarray.DataArray) else each for each in arrays)
    result = make(operator, inside, parameters, algorithm)
    input, out = arrays[0], arrays[-1]
    if not isinstance(input, xarray.DataArray):
        return result
    spec: Any = operator.spec(*inside[:-1], *parameters)
    coordinates = _coordinates(spec, input, arrays[1] if len(arrays) > 2 else None)
    values, *more = result if isinstance(result, tuple) else (result,)
    labelled = out
    if out is None:
        labelled = xarray.DataArray(values, coordinates, input.dims, input.name, input.attrs)
    if not more:
        return labelled
    return labelled, xarray.DataArray(more[0], coordinates, input.dims)


def _check(operator: Operator, arrays: tuple[Any, ...]) -> None:
    for name, array in zip(operator.arrays, arrays, strict=True):
        if not isinstance(array, xarray.DataArray):
            continue
        if operator.name not in TAKEN:
            raise TypeError(
                f"{operator.name} takes no xarray.DataArray, as {', '.join(TAKEN)} do: pass {name}.data"
            )
        if name == "input" and array.ndim == 2:
            raise ValueError(
                f"input must have the dimensions of (N, C, H, W) or (C, H, W), got {array.dims}: one channel "
                'of one image is input.expand_dims("channel")'
            )
        dims = getattr(arrays[0], "dims", array.dims)
        if name in ("residual", "out") and array.dims != dims:
            raise ValueError(f"{name} must have the input's dimensions {dims}, got {array.dims}")


def _coordinates(spec: Any, input: xarray.DataArray, weight: Any) -> Any:
    """Those of a result."""
    *_, channels, high, wide = input.dims
    kept: dict[Any, Any] = {}
    lost = set() if keeps_channels(spec) else {channels}
    for number, dimension in enumerate((high, wide)):
        places = middles(spec, number)
        if places is None:
            lost.add(dimension)
        else:
            kept[dimension] = _as_slice(places)
    coordinates = input.coords.to_dataset().isel(kept, missing_dims="ignore")
    coordinates = coordinates.drop_vars(
        [name for name, each in coordinates.coords.items() if lost & {*each.dims}]
    )
    if channels in lost and isinstance(weight, xarray.DataArray):
        coordinates = coordinates.assign_coords(_named_by(spec, weight, channels))
    return coordinates.coords


def _as_slice(places: np.ndarray) -> Any:
    """Evenly spaced places as a slice, which leaves an index of a kind of its own what it is."""
    if not len(places):
        return slice(0)
    first, last = int(places[0]), int(places[-1])
    step = int(places[1]) - first if len(places) > 1 else 1
    is_even = (np.diff(places) == step).all()
    return slice(first, last + 1, step) if is_even else places


def _named_by(spec: Any, weight: xarray.DataArray, channels: Any) -> dict[Any, Any]:
    """The coordinate of the output channels, if the weight has one for all of them."""
    dimension = weight.dims[0 if spec.direction == "forward" else 1]
    named = weight.coords.get(dimension)
    return {} if named is None or len(named) != spec.out_shape[1] else {channels: named.to_numpy()}
