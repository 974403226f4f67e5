"""What has a unit or a mask is refused, as each argument of each operator; and what is proposed is right."""

import re

import numpy as np
import pytest

import gpuconv
from gpuconv.operators import OPERATORS
from tests.arrays.calls import ARGUMENTS, CALLS, X, array_of, call

over_arguments = pytest.mark.parametrize(
    ("operator", "name"), ARGUMENTS, ids=[f"{operator} {name}" for operator, name in ARGUMENTS]
)


def test_every_operator_is_called_here():
    assert set(CALLS) == set(OPERATORS)
    for operator, (_, arrays, _) in CALLS.items():
        assert set(arrays) <= set(OPERATORS[operator].arrays)
        call(operator)


def astropy_units(array):
    units = pytest.importorskip("astropy.units")
    return units.Quantity(array, units.m, dtype=array.dtype)


def unyt_units(array):
    return array * pytest.importorskip("unyt").m


def pint_units(array):
    return pytest.importorskip("pint").UnitRegistry().Quantity(array, "m")


def quantities_units(array):
    return pytest.importorskip("quantities").Quantity(array, "m")


UNITS = {
    "astropy": (astropy_units, "value"),
    "unyt": (unyt_units, "value"),
    "pint": (pint_units, "magnitude"),
    "quantities": (quantities_units, "magnitude"),
}


@over_arguments
@pytest.mark.parametrize("library", UNITS)
def test_units_are_refused(library, operator, name):
    make, attribute = UNITS[library]
    quantity = make(array_of(operator, name))
    for _ in range(2):
        with pytest.raises(TypeError, match=rf"^{name} is of .*unit.*: pass {name}\.\w+$") as caught:
            call(operator, **{name: quantity})
    hint = str(caught.value).rpartition("pass ")[2]
    if name != "out":
        assert hint == f"{name}.{attribute}"
    plain = eval(hint, {name: quantity})
    assert type(plain) is np.ndarray
    if name == "out":
        assert call(operator, out=plain) is plain
        np.testing.assert_array_equal(getattr(quantity, attribute), call(operator))
    else:
        np.testing.assert_array_equal(call(operator, **{name: plain}), call(operator))


@pytest.mark.parametrize("library", UNITS)
def test_units_are_refused_by_plans(library):
    make, _ = UNITS[library]
    arrays = CALLS["conv2d"][1]
    plan = gpuconv.plan_conv2d(**arrays)
    for name, array in arrays.items():
        with pytest.raises(TypeError, match=f"^{name} is of .*unit"):
            plan(**{**arrays, name: make(array)})


def of_numpy(array, mask):
    return np.ma.masked_array(array, mask)


def of_astropy(array, mask):
    return pytest.importorskip("astropy.utils.masked").Masked(array, mask=mask)


def quantities_of_astropy(array, mask):
    return of_astropy(array * pytest.importorskip("astropy.units").m, mask)


def quantities_of_pint(array, mask):
    return pint_units(np.ma.masked_array(array, mask))


def subclass_of_numpy(array, mask):
    return of_numpy(array, mask).view(type("Raster", (np.ma.MaskedArray,), {}))


MASKED = (of_numpy, subclass_of_numpy, of_astropy, quantities_of_astropy, quantities_of_pint)
over_kinds = pytest.mark.parametrize("make", MASKED, ids=lambda make: make.__name__)


@over_arguments
@over_kinds
def test_masked_arrays_are_refused(make, operator, name):
    array = array_of(operator, name)
    masked = make(array, np.arange(array.size).reshape(array.shape) % 2 == 0)
    for _ in range(2):
        with pytest.raises(TypeError, match=rf"^{name} must not be a masked array; got .*: "):
            call(operator, **{name: masked})


def refused(make, operator, array, mask, **names):
    """The message for a masked input, and what it proposes, evaluated."""
    input = make(array, mask)
    function, _, parameters = CALLS[operator]
    with pytest.raises(TypeError, match=r"^input must not be a masked array") as caught:
        function(input, **parameters)
    message = str(caught.value)
    known = {"numpy": np, "input": input, **names}
    return message, [eval(each, known) for each in re.findall(r"(?:first,|norm_type) (\S+?)(?:,|$)", message)]


MASK = np.zeros(X.shape, bool)
MASK[0, 0, :2, :2] = MASK[0, 1, 1, 1:3] = True
WINDOWS = [np.s_[0, c, 2 * p : 2 * p + 2, 2 * q : 2 * q + 2] for c in (0, 1) for p in (0, 1) for q in (0, 1)]


def over_valid(reduce, otherwise):
    """What a pool of 2x2 windows gives where it sees what is valid alone."""
    return [reduce(X[each][~MASK[each]]) if not MASK[each].all() else otherwise for each in WINDOWS]


@over_kinds
@pytest.mark.parametrize(
    ("operator", "reduce", "otherwise"),
    [
        ("max_pool2d", np.max, -np.inf),
        ("adaptive_max_pool2d", np.max, -np.inf),
        ("min_pool2d", np.min, np.inf),
        ("lp_pool2d", lambda x: np.sqrt((x.astype("f8") ** 2).sum()), 0),
    ],
)
def test_what_is_filled_in_is_not_seen(make, operator, reduce, otherwise):
    _, [filled, *_] = refused(make, operator, X, MASK)
    y = call(operator, input=np.asarray(filled), out=None)
    np.testing.assert_allclose(np.asarray(y).ravel(), over_valid(reduce, otherwise), rtol=1e-6)


@over_kinds
def test_a_norm_of_a_negative_power(make):
    _, [_, filled] = refused(make, "lp_pool2d", X, MASK)
    y = gpuconv.lp_pool2d(np.asarray(filled), -1, 2)
    expected = over_valid(lambda x: 1 / (1 / x.astype("f8")).sum(), np.inf)
    np.testing.assert_allclose(np.asarray(y).ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int16", "uint8", "int64"])
def test_of_integers_it_is_the_least_and_the_greatest(dtype):
    for operator, reduce in (("max_pool2d", np.max), ("min_pool2d", np.min)):
        info = np.iinfo(dtype)
        _, [filled] = refused(of_numpy, operator, X.astype(dtype), MASK)
        otherwise = info.min if operator == "max_pool2d" else info.max
        y = call(operator, input=filled, out=None)
        np.testing.assert_array_equal(y.ravel(), np.array(over_valid(reduce, otherwise), dtype))


@over_kinds
@pytest.mark.parametrize("operator", ["avg_pool2d", "adaptive_avg_pool2d"])
def test_a_mean_over_what_is_valid(make, operator):
    message, _ = refused(make, operator, X, MASK)
    proposed = message.rpartition("that of what is valid is ")[2]
    names = {"numpy": np, "input": make(X, MASK)}
    first, second = (
        np.asarray(eval(each, names)) for each in re.findall(rf"{operator}\((.*?), \.\.\.\)", proposed)
    )
    _, _, parameters = CALLS[operator]
    function = getattr(gpuconv, operator)
    with np.errstate(invalid="ignore"):
        y = function(first, **parameters) / function(second, **parameters)
    np.testing.assert_allclose(y.ravel(), over_valid(np.mean, np.nan), rtol=1e-6)


@over_kinds
@pytest.mark.parametrize("name", ["input", "weight", "bias", "residual"])
def test_a_convolution_adds_nothing_for_what_is_masked(make, name):
    array = array_of("conv2d", name)
    mask = np.arange(array.size).reshape(array.shape) % 3 == 0
    with pytest.raises(TypeError, match=r"fill it first, (\S+)$") as caught:
        call("conv2d", **{name: make(array, mask)})
    hint = str(caught.value).rpartition("first, ")[2]
    filled = np.asarray(eval(hint, {name: make(array, mask)}))
    np.testing.assert_array_equal(filled, np.where(mask, 0, array))


@pytest.mark.parametrize("operator", ["max_unpool2d", "grad.max_pool2d"])
def test_an_index_that_is_masked_is_no_place(operator):
    indices = array_of(operator, "indices")
    with pytest.raises(TypeError, match=re.escape("fill it first, indices.filled(-1)")):
        call(operator, indices=np.ma.masked_greater(indices, 7))
    filled = np.ma.masked_greater(indices, 7).filled(-1)
    assert np.count_nonzero(call(operator, indices=filled)) == (indices <= 7).sum()


@over_kinds
def test_out_without_its_mask(make):
    out = make(np.zeros((1, 2, 2, 2), "f4"), False)
    with pytest.raises(TypeError, match=r"^out must not be a masked array; .*: pass (\S+), and") as caught:
        gpuconv.max_pool2d(X, 2, out=out)
    plain = eval(re.search(r"pass (\S+),", str(caught.value)).group(1), {"out": out})
    gpuconv.max_pool2d(X, 2, out=plain)
    np.testing.assert_array_equal(np.asarray(getattr(out, "magnitude", out)), gpuconv.max_pool2d(X, 2))


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors")
def test_masked_tensors_of_torch():
    torch = pytest.importorskip("torch")
    masked_tensor = pytest.importorskip("torch.masked").masked_tensor
    input = masked_tensor(torch.from_numpy(X), torch.from_numpy(~MASK))
    _, [filled] = refused(lambda *_: input, "max_pool2d", X, MASK, torch=torch)
    y = gpuconv.max_pool2d(filled, 2)
    np.testing.assert_array_equal(y.ravel(), over_valid(np.max, -np.inf))
    _, [filled] = refused(lambda *_: input, "unfold", X, MASK)
    assert torch.equal(filled, torch.from_numpy(np.where(MASK, 0, X)))


def test_masked_rasters():
    """Of rasterio, which are NumPy's."""
    rasterio = pytest.importorskip("rasterio")
    from rasterio.io import MemoryFile

    with MemoryFile() as memory:
        with memory.open(driver="GTiff", height=4, width=4, count=2, dtype="float32", nodata=1) as raster:
            raster.write(np.where(MASK, 1, X + 1)[0])
        with memory.open() as raster:
            masked = raster.read(masked=True)
            with pytest.raises(TypeError, match=r"pass input.read\(\)"):
                gpuconv.max_pool2d(raster, 2)
    assert rasterio.__version__
    with pytest.raises(TypeError, match=r"masked array.*input.filled\(-numpy.inf\)"):
        gpuconv.max_pool2d(masked, 2)
