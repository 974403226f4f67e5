"""What is told of each kind of array that is not taken as it is: why, and what to pass in its place.

The kinds are told by the names of their classes, so that no library is imported. A subclass is of the kind of
its base. What is not here, and is no array, is told the general way (`kinds.py`); masked arrays have
expressions of their own (`masks.py`).
"""

from functools import lru_cache
from typing import NamedTuple


class Hint(NamedTuple):
    """`instead` is what to pass for an argument `{name}`, `target` what for `out`: of the same memory."""

    why: str
    instead: str
    target: str = ""


UNIT = "whose unit the result would lack"
STORED = "whose elements are not in memory"
SPARSE = "of whose elements those that are zero are not in memory"
IMAGE = "whose library hands over arrays its own way"
ELSEWHERE = "whose elements are in memory of its library"
TABLE = "which has labels beside its elements"
VALUELESS = "which stands for a tensor and has no values"
WITH_VALUES = "a tensor with values, or use the functions of gpuconv.torch"
LATER = "whose elements are computed later"
MANY = "which holds many arrays"

_ONE_OF_MANY = "{name}['its name'][:]"
HINTS: dict[tuple[str, str], Hint] = {
    ("astropy", "Quantity"): Hint(UNIT, "{name}.value", "{name}.value"),
    ("unyt", "unyt_array"): Hint(UNIT, "{name}.value", "{name}.ndview"),
    ("pint", "Quantity"): Hint(UNIT, "{name}.magnitude", "{name}.magnitude"),
    ("pint", "PlainQuantity"): Hint(UNIT, "{name}.magnitude", "{name}.magnitude"),
    ("quantities", "Quantity"): Hint(UNIT, "{name}.magnitude", "{name}.magnitude"),
    ("xarray", "NamedArray"): Hint(TABLE, "{name}.data", "{name}.data"),
    ("xarray", "Dataset"): Hint(MANY, "{name}['its name'].data"),
    ("xarray", "DataTree"): Hint(MANY, "{name}['its name'].data"),
    ("cubed", "Array"): Hint(LATER, "{name}.compute()"),
    ("zarr", "Array"): Hint(STORED, "{name}[:]"),
    ("zarr", "Group"): Hint(MANY, _ONE_OF_MANY),
    ("h5py", "Dataset"): Hint(STORED, "{name}[:]"),
    ("h5py", "Group"): Hint(MANY, _ONE_OF_MANY),
    ("h5netcdf", "Variable"): Hint(STORED, "{name}[:]"),
    ("netCDF4", "Variable"): Hint(STORED, "{name}[:], masked where a value is missing"),
    ("netCDF4", "Dataset"): Hint(MANY, _ONE_OF_MANY),
    ("tensorstore", "TensorStore"): Hint(STORED, "{name}.read().result()"),
    ("rasterio", "DatasetBase"): Hint(STORED, "{name}.read()"),
    ("nibabel", "ArrayProxy"): Hint(STORED, "numpy.asarray({name}), or .get_fdata() of its image"),
    ("nibabel", "DataobjImage"): Hint(IMAGE, "{name}.get_fdata()"),
    ("SimpleITK", "Image"): Hint(IMAGE, "SimpleITK.GetArrayFromImage({name})"),
    ("itk", "itkDataObject"): Hint(IMAGE, "itk.array_from_image({name})"),
    ("PIL", "Image"): Hint(IMAGE, "numpy.asarray({name})"),
    ("cv2", "UMat"): Hint(ELSEWHERE, "{name}.get()"),
    ("tinygrad", "Tensor"): Hint(LATER, "{name}.numpy()"),
    ("dpnp", "dpnp_array"): Hint(ELSEWHERE, "{name}.asnumpy()"),
    ("dpctl", "usm_ndarray"): Hint(ELSEWHERE, "dpctl.tensor.asnumpy({name})"),
    ("sparse", "SparseArray"): Hint(SPARSE, "{name}.todense()"),
    ("scipy", "_spbase"): Hint(SPARSE, "{name}.toarray()"),
    ("cupyx", "_spbase"): Hint(SPARSE, "{name}.toarray()"),
    ("cupyx", "spmatrix"): Hint(SPARSE, "{name}.toarray()"),
    ("pandas", "NDFrame"): Hint(TABLE, "{name}.to_numpy()"),
    ("pandas", "Index"): Hint(TABLE, "{name}.to_numpy()"),
    ("pandas", "ExtensionArray"): Hint(TABLE, "{name}.to_numpy()"),
    ("polars", "DataFrame"): Hint(TABLE, "{name}.to_numpy()"),
    ("polars", "Series"): Hint(TABLE, "{name}.to_numpy()"),
    ("pyarrow", "_Tabular"): Hint(TABLE, "{name}['its name'].to_numpy()"),
    ("pyarrow", "ChunkedArray"): Hint("which is in several pieces", "{name}.to_numpy()"),
    ("awkward", "Array"): Hint("whose rows need not be of one length", "awkward.to_numpy({name})"),
    ("jax", "ShapeDtypeStruct"): Hint(VALUELESS, "an array"),
    ("torch", "Proxy"): Hint(VALUELESS, "it to the functions of gpuconv.torch, which torch.fx can trace"),
    ("torch", "FakeTensor"): Hint(VALUELESS, WITH_VALUES),
    ("torch", "FunctionalTensor"): Hint(VALUELESS, WITH_VALUES),
    ("torch", "UninitializedTensorMixin"): Hint("which has no shape yet", "it when its module was called"),
    ("torch", "DTensor"): Hint("of many places", "{name}.full_tensor()", "{name}.to_local()"),
    ("torch", "AsyncCollectiveTensor"): Hint(LATER, "{name}.wait()", "{name}.wait()"),
    ("torch", "SparseSemiStructuredTensor"): Hint(SPARSE, "{name}.to_dense()"),
}  # fmt: skip


@lru_cache(maxsize=64)
def hint_of(kind: type) -> Hint | None:
    """What is known of a type of arrays, or of a base of it."""
    return next((HINTS[each] for each in map(named_as, kind.__mro__) if each in HINTS), None)


def refusal(kind: type, hint: Hint, name: str) -> TypeError:
    """For an argument of such a kind, `out` or another."""
    if name != "out":
        way = f"pass {hint.instead.format(name=name)}"
    elif hint.target:
        way = f"pass {hint.target.format(name=name)}"
    else:
        way = "leave it out, and store the result in it"
    return TypeError(f"{name} is of {shown(kind)}, {hint.why}: {way}")


def shown(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def named_as(kind: type) -> tuple[str, str]:
    """Package and name, as tables have them."""
    return kind.__module__.partition(".")[0], kind.__name__
