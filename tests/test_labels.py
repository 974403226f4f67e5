"""xarray's DataArrays: results keep dimensions, coordinates, attributes and name."""

import numpy as np
import pytest

import gpuconv
from tests.cases import integers

xarray = pytest.importorskip("xarray")

X, W = integers((2, 3, 8, 10), "float32"), integers((4, 3, 3, 3), "float32", 1)
Y, LON = np.linspace(50.0, 43.0, 8), np.arange(10) * 2.0
TIME = np.array(["2025-01-01", "2026-01-01"], "M8[ns]")
LATITUDE = np.arange(80.0).reshape(8, 10)


def labelled(array=X):
    coordinates = {
        "time": TIME, "band": list("rgb"), "y": Y, "x": LON, "latitude": (("y", "x"), LATITUDE), "crs": 4326,
    }  # fmt: skip
    return xarray.DataArray(
        array, coordinates, ("time", "band", "y", "x"), "temperature", {"units": "K", "long_name": "of air"}
    )


def check(result, expected, **coordinates):
    """Values, and of each coordinate its values; what is not named has none."""
    np.testing.assert_array_equal(result.data, expected, strict=True)
    assert result.dims == ("time", "band", "y", "x")
    assert {*result.coords} == {"time", "crs", *coordinates}
    np.testing.assert_array_equal(result.time, TIME)
    for name, values in coordinates.items():
        np.testing.assert_array_equal(result.coords[name], values)


def test_attributes_and_the_name_are_kept():
    result = gpuconv.conv2d(labelled(), W)
    assert type(result) is xarray.DataArray and type(result.data) is np.ndarray
    assert result.attrs == labelled().attrs and result.name == "temperature"


@pytest.mark.parametrize(
    ("parameters", "rows", "columns"),
    [
        ({"padding": 1}, slice(None), slice(None)),
        ({"padding": "same", "padding_mode": "reflect"}, slice(None), slice(None)),
        ({}, slice(1, -1), slice(1, -1)),
        ({"padding": 1, "stride": 2}, slice(0, 8, 2), slice(0, 10, 2)),
        ({"padding": 1, "stride": (1, 3)}, slice(None), slice(0, 10, 3)),
        ({"dilation": 2}, slice(2, -2), slice(2, -2)),
        ({"stride": 2}, slice(1, 7, 2), slice(1, 9, 2)),
    ],
)
def test_a_strided_axis_has_its_coordinates_strided(parameters, rows, columns):
    expected = gpuconv.conv2d(X, W, **parameters)
    latitude = LATITUDE[rows, columns]
    result = gpuconv.conv2d(labelled(), W, **parameters)
    check(result, expected, y=Y[rows], x=LON[columns], latitude=latitude)


def test_an_axis_with_outputs_beyond_the_image_has_no_coordinates():
    check(gpuconv.conv2d(labelled(), W, padding="full"), gpuconv.conv2d(X, W, padding="full"))
    expected = gpuconv.conv2d(X, W, padding=((1, 1), (5, 5)))
    check(gpuconv.conv2d(labelled(), W, padding=((1, 1), (5, 5))), expected, y=Y)
    W_t = W.transpose(1, 0, 2, 3)
    check(gpuconv.conv_transpose2d(labelled(), W_t, stride=2), gpuconv.conv_transpose2d(X, W_t, stride=2))
    expected = gpuconv.conv_transpose2d(X, W_t, padding=1)
    check(gpuconv.conv_transpose2d(labelled(), W_t, padding=1), expected, y=Y, x=LON, latitude=LATITUDE)


def test_pools_keep_their_channels():
    latitude, kept = LATITUDE[::2, ::2], {"band": list("rgb")}
    for pool in (gpuconv.max_pool2d, gpuconv.min_pool2d, gpuconv.avg_pool2d):
        check(pool(labelled(), 2), pool(X, 2), y=Y[::2], x=LON[::2], latitude=latitude, **kept)
    values, indices = gpuconv.max_pool2d(labelled(), 2, return_indices=True)
    expected = gpuconv.max_pool2d(X, 2, return_indices=True)
    for found, each in zip((values, indices), expected, strict=True):
        check(found, each, y=Y[::2], x=LON[::2], latitude=latitude, **kept)
    assert indices.attrs == {} and values.attrs == labelled().attrs
    rows, columns = [1, 4, 7], [1, 4, 7, 9]
    norms, expected = (gpuconv.lp_pool2d(x, 2, 3, ceil_mode=True) for x in (labelled(), X))
    check(norms, expected, y=Y[rows], x=LON[columns], latitude=LATITUDE[np.ix_(rows, columns)], **kept)
    adaptive, expected = (gpuconv.adaptive_avg_pool2d(x, (3, 5)) for x in (labelled(), X))
    check(adaptive, expected, y=Y[[1, 3, 6]], x=LON[::2], latitude=LATITUDE[[1, 3, 6], ::2], **kept)


def test_no_windows_have_no_coordinates():
    result = gpuconv.adaptive_avg_pool2d(labelled(), (0, 5))
    none = {"y": Y[:0], "x": LON[::2], "latitude": LATITUDE[:0, ::2], "band": list("rgb")}
    check(result, gpuconv.adaptive_avg_pool2d(X, (0, 5)), **none)


def test_channels_are_named_by_the_weight_or_kept_where_each_is_filtered_alone():
    named = xarray.DataArray(W, {"edge": list("nesw")}, ("edge", "band", "r", "s"))
    result = gpuconv.conv2d(labelled(), named, padding=1)
    check(result, gpuconv.conv2d(X, W, padding=1), y=Y, x=LON, latitude=LATITUDE, band=list("nesw"))
    depthwise = W[:3, :1]
    result = gpuconv.conv2d(labelled(), depthwise, groups=3, padding=1)
    expected = gpuconv.conv2d(X, depthwise, groups=3, padding=1)
    check(result, expected, y=Y, x=LON, latitude=LATITUDE, band=list("rgb"))


def test_one_image_and_no_coordinates():
    x = xarray.DataArray(X[0], dims=("c", "h", "w"))
    result = gpuconv.conv2d(x, W)
    assert result.dims == ("c", "h", "w") and not result.coords and result.name is None
    np.testing.assert_array_equal(result, gpuconv.conv2d(X[0], W))


def test_other_arguments_may_be_labelled_too():
    bias = xarray.DataArray(np.arange(4, dtype="float32"), dims="edge")
    residual = gpuconv.conv2d(labelled(), W, padding=1)
    expected = gpuconv.conv2d(X, W, bias.data, padding=1, residual=residual.data)
    result = gpuconv.conv2d(labelled(), W, bias, padding=1, residual=residual)
    np.testing.assert_array_equal(result, expected)
    out = xarray.zeros_like(residual)
    assert gpuconv.conv2d(labelled(), W, bias, padding=1, residual=residual, out=out) is out
    np.testing.assert_array_equal(out, expected)
    plain = gpuconv.conv2d(X, xarray.DataArray(W, dims=("k", "c", "r", "s")))
    assert type(plain) is np.ndarray


def test_arrays_of_dask_within_stay_lazy():
    dask_array = pytest.importorskip("dask.array")
    result = gpuconv.conv2d(labelled().chunk({"y": 3, "x": 4}), W, padding=1, stride=2)
    assert isinstance(result.data, dask_array.Array)
    expected = gpuconv.conv2d(X, W, padding=1, stride=2)
    check(result.compute(), expected, y=Y[::2], x=LON[::2], latitude=LATITUDE[::2, ::2])


def test_errors_name_the_argument():
    with pytest.raises(
        ValueError, match=r"input must have the dimensions of .* got \('y', 'x'\): .*expand_dims"
    ):
        gpuconv.max_pool2d(labelled()[0, 0], 2)
    residual = gpuconv.conv2d(labelled(), W, padding=1).rename(band="channel")
    with pytest.raises(ValueError, match="residual must have the input's dimensions"):
        gpuconv.conv2d(labelled(), W, padding=1, residual=residual)
    with pytest.raises(TypeError, match=r"unfold takes no xarray.DataArray, .*: pass input.data"):
        gpuconv.unfold(labelled(), 2)
    with pytest.raises(TypeError, match="input must be float32"):
        gpuconv.conv2d(labelled().astype(bool), W)
    with pytest.raises(ValueError, match="weight must have C / groups"):
        gpuconv.conv2d(labelled(), W[:, :2])
