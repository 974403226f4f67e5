"""Kinds of arrays that are not taken as they are: what each library's is told, and that it is right."""

import re

import numpy as np
import pytest

import gpuconv
from gpuconv.arrays.hints import HINTS, hint_of
from tests.cases import integers

X = integers((1, 2, 4, 6), "float32")
EXPECTED = gpuconv.max_pool2d(X, 2)
skip = pytest.importorskip


def xarray_array(folder):
    return skip("xarray").Variable(("n", "c", "h", "w"), X), {}


def xarray_dataset(folder):
    return skip("xarray").Dataset({"its name": (("n", "c", "h", "w"), X)}), {}


def zarr_array(folder):
    array = skip("zarr").create_array(store=folder / "x.zarr", shape=X.shape, dtype="f4", chunks=(1, 1, 2, 2))
    array[...] = X
    return array, {}


def zarr_group(folder):
    group = skip("zarr").open_group(folder / "group.zarr", mode="w")
    group.create_array("its name", data=X)
    return group, {}


def h5py_dataset(folder):
    return skip("h5py").File(folder / "x.h5", "w").create_dataset("x", data=X, compression="gzip"), {}


def h5py_file(folder):
    file = skip("h5py").File(folder / "y.h5", "w")
    file.create_dataset("its name", data=X)
    return file, {}


def netcdf_variable(folder):
    file = skip("netCDF4").Dataset(folder / "x.nc", "w")
    for name, length in zip("nchw", X.shape, strict=True):
        file.createDimension(name, length)
    variable = file.createVariable("x", "f4", tuple("nchw"))
    variable[:] = X
    variable.set_always_mask(False)
    return variable, {}


def nibabel_image(folder):
    nibabel = skip("nibabel")
    nibabel.save(nibabel.Nifti1Image(X, np.eye(4)), folder / "x.nii")
    return nibabel.load(folder / "x.nii"), {}


def nibabel_proxy(folder):
    return nibabel_image(folder)[0].dataobj, {"numpy": np}


def simpleitk_image(folder):
    sitk = skip("SimpleITK")
    return sitk.GetImageFromArray(X[0]), {"SimpleITK": sitk}


def itk_image(folder):
    itk = skip("itk")
    return itk.image_from_array(X[0]), {"itk": itk}


def pillow_image(folder):
    return skip("PIL.Image").fromarray(X[0, 0]), {"numpy": np}


def tinygrad_tensor(folder):
    return skip("tinygrad").Tensor(X, device="PYTHON"), {}


def sparse_coordinates(folder):
    return skip("sparse").COO.from_numpy(X), {}


def sparse_compressed(folder):
    return skip("sparse").GCXS.from_numpy(X), {}


def scipy_array(folder):
    return skip("scipy.sparse").csr_array(X[0, 0]), {}


def scipy_matrix(folder):
    return skip("scipy.sparse").coo_matrix(X[0, 0]), {}


def pandas_frame(folder):
    return skip("pandas").DataFrame(X[0, 0]), {}


def polars_frame(folder):
    return skip("polars").DataFrame(X[0, 0].copy()), {}


def awkward_array(folder):
    awkward = skip("awkward")
    return awkward.Array(X), {"awkward": awkward}


def tensorstore_array(folder):
    return skip("tensorstore").array(X), {}


def rasterio_file(folder):
    rasterio = skip("rasterio")
    with rasterio.open(
        folder / "x.tif", "w", driver="GTiff", height=4, width=6, count=2, dtype="float32"
    ) as file:
        file.write(X[0])
    return rasterio.open(folder / "x.tif"), {}


KINDS = (
    xarray_array, xarray_dataset, zarr_array, zarr_group, h5py_dataset, h5py_file, netcdf_variable,
    nibabel_image, nibabel_proxy, simpleitk_image, itk_image, pillow_image, tinygrad_tensor,
    sparse_coordinates, sparse_compressed, scipy_array, scipy_matrix, pandas_frame, polars_frame,
    awkward_array, tensorstore_array, rasterio_file,
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning", "ignore:.*georeferenced")
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_what_is_proposed_gives_its_elements(make, tmp_path):
    input, names = make(tmp_path)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"^input is of \S+, .*: pass ") as caught:
            gpuconv.max_pool2d(input, 2)
    assert "asarray makes" not in str(caught.value)
    proposed = re.search(r": pass (.*?)(, masked.*|, or .*)?$", str(caught.value)).group(1)
    plain = eval(proposed, {"input": input, **names})
    plain = np.asarray(plain, np.float32)
    images = plain.reshape((1,) * (4 - plain.ndim) + plain.shape)
    np.testing.assert_array_equal(gpuconv.max_pool2d(images, 2), EXPECTED[:, : images.shape[1]])


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_it_is_no_out_and_not_converted_for_other_arguments(make, tmp_path):
    array, _ = make(tmp_path)
    with pytest.raises(
        TypeError, match=r"^out is of .*: (leave it out, and store the result in it|pass out)"
    ):
        gpuconv.max_pool2d(X, 2, out=array)
    with pytest.raises(TypeError, match=r"^weight is of "):
        gpuconv.conv2d(X, array)
    with pytest.raises(TypeError, match=r"^input is of "):
        gpuconv.grad.conv2d_weight(array, (1, 2, 2, 2), X)


def test_a_dask_array_where_none_is_taken():
    array = skip("dask.array").from_array(X)
    with pytest.raises(TypeError, match=r"conv2d_bias takes no dask arrays, .* compute them first"):
        gpuconv.grad.conv2d_bias(array)


@pytest.mark.parametrize("kind", HINTS, ids=".".join)
def test_kinds_are_told_by_names_and_by_bases(kind):
    package, name = kind
    base = type(name, (), {"__module__": f"{package}.somewhere"})
    assert hint_of(type("Mine", (base,), {"__module__": "somebody"})) is HINTS[kind]
    assert hint_of(type(name, (), {"__module__": "somebody"})) is None
    array = type("Mine", (base,), {"__dlpack__": lambda self: None, "__array__": lambda self: X})()
    with pytest.raises(TypeError, match=f"^input is of .*Mine, {re.escape(HINTS[kind].why)}: pass "):
        gpuconv.max_pool2d(array, 2)


def test_a_variable_of_netcdf_is_masked_where_a_value_is_missing(tmp_path):
    variable, _ = netcdf_variable(tmp_path)
    variable.set_always_mask(True)
    with pytest.raises(TypeError, match=r"pass input\[:\], masked where a value is missing"):
        gpuconv.max_pool2d(variable, 2)
    with pytest.raises(TypeError, match=r"masked array.*input.filled\(-numpy.inf\)"):
        gpuconv.max_pool2d(variable[:], 2)


def test_arrays_of_pyarrow():
    pyarrow = skip("pyarrow")
    with pytest.raises(TypeError, match=r"^bias cannot be read: .*no nulls"):
        gpuconv.conv2d(X, np.ones((2, 2, 1, 1), "f4"), pyarrow.array([1.0, None], pyarrow.float32()))
    with pytest.raises(TypeError, match=r"^bias cannot be read: "):
        gpuconv.conv2d(X, np.ones((2, 2, 1, 1), "f4"), pyarrow.array(["a", "b"]))
    with pytest.raises(TypeError, match=r"pass bias.to_numpy\(\)"):
        gpuconv.conv2d(X, np.ones((2, 2, 1, 1), "f4"), pyarrow.chunked_array([np.ones(2, "f4")]))
    bias = pyarrow.array(np.ones(2, "f4"))
    np.testing.assert_array_equal(
        gpuconv.conv2d(X, np.ones((2, 2, 1, 1), "f4"), bias),
        gpuconv.conv2d(X, np.ones((2, 2, 1, 1), "f4")) + 1,
    )
    tensor = pyarrow.Tensor.from_numpy(X)
    assert type(gpuconv.max_pool2d(tensor, 2)) is np.ndarray  # it has no from_dlpack
    np.testing.assert_array_equal(gpuconv.max_pool2d(tensor, 2), EXPECTED)
