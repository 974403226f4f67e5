"""Padding by the image itself: every mode, and every window, stride and image that it can be asked of."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import gpuconv
from gpuconv.spec import ConvSpec
from gpuconv.spec.padding_mode import continued
from gpuconv.spec.regions import regions_of
from tests import reference
from tests.cases import CONV_CASES, DTYPES, integers, zeros
from tests.layouts import READABLE, WRITABLE

MODES = ("reflect", "replicate", "circular")
NUMPY = reference.PAD_MODES
X, W = integers((2, 4, 7, 9), "f4"), integers((6, 4, 3, 3), "f4", 1)

over_modes = pytest.mark.parametrize("mode", MODES)


@over_modes
def test_how_an_axis_continues_is_how_numpy_pads(mode):
    for extent in (1, 2, 5):
        most = {"reflect": extent - 1, "circular": extent}.get(mode, 9)
        places = continued(np.arange(-most, extent + most), extent, mode)
        np.testing.assert_array_equal(places, np.pad(np.arange(extent), most, mode=NUMPY[mode]))


def can_be_padded(case, mode):
    try:
        ConvSpec.from_arrays(*case.arrays("float32", zeros), **case.parameters, padding_mode=mode)
    except ValueError:
        return False
    return True


TAKEN = [(case, mode) for case in CONV_CASES for mode in MODES if can_be_padded(case, mode)]


@pytest.mark.parametrize(("case", "mode"), TAKEN, ids=lambda each: str(each))
@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_are_exact(case, mode, dtype):
    x, w, bias = case.arrays(dtype, integers)
    y = gpuconv.conv2d(x, w, bias, **case.parameters, padding_mode=mode)
    right = reference.conv2d(x, w, bias, **case.parameters, padding_mode=mode)
    np.testing.assert_array_equal(y, right.astype(dtype), strict=True)


@over_modes
@pytest.mark.parametrize("layout", READABLE)
def test_inputs_of_every_layout(mode, layout):
    y = gpuconv.conv2d(READABLE[layout](X), READABLE[layout](W), padding=(2, 1), padding_mode=mode)
    right = reference.conv2d(X, W, padding=(2, 1), padding_mode=mode)
    np.testing.assert_array_equal(y, right.astype("f4"), strict=True)


@over_modes
@pytest.mark.parametrize("layout", WRITABLE)
def test_outputs_of_every_layout(mode, layout):
    right = reference.conv2d(X, W, padding="same", padding_mode=mode).astype("f4")
    out = WRITABLE[layout](np.full_like(right, np.nan))
    assert gpuconv.conv2d(X, W, padding="same", padding_mode=mode, out=out) is out
    np.testing.assert_array_equal(out, right)


@st.composite
def problems(draw):
    pair, few = (st.tuples(st.integers(low, 4), st.integers(low, 4)) for low in (1, 0))
    mode = draw(st.sampled_from(MODES))
    size, window = draw(st.tuples(st.integers(1, 12), st.integers(1, 12))), draw(pair)
    parameters = {"stride": draw(pair), "padding": (draw(few), draw(few)), "dilation": draw(pair)}
    for extent, sides in zip(size, parameters["padding"], strict=True):
        assume(max(sides) <= {"reflect": extent - 1, "circular": extent}.get(mode, 99))
    assume(min(reference.output_shape(size, window, **parameters)) > 0)
    return (2, 2, *size), (3, 2, *window), {**parameters, "padding_mode": mode}


@given(problems(), st.sampled_from([None, "relu"]))
def test_any_geometry(problem, activation):
    shape, window, parameters = problem
    x, w = integers(shape, "f4"), integers(window, "f4", 1)
    y = gpuconv.conv2d(x, w, **parameters, activation=activation)
    right = reference.activate(reference.conv2d(x, w, **parameters), activation)
    np.testing.assert_array_equal(y, right.astype("f4"), strict=True)


@over_modes
def test_borders_are_cut_into_pieces_that_fit(mode):
    """Of 30,000 bytes, twice a piece, one image of a border is more, so that rows of it are."""
    x = integers((3, 9, 40, 50), "f4")
    w = integers((4, 9, 3, 3), "f4", 1)
    right = reference.conv2d(x, w, padding=((9, 7), (3, 8)), padding_mode=mode)
    gpuconv.set_workspace_limit(30_000)
    try:
        y = gpuconv.conv2d(x, w, padding=((9, 7), (3, 8)), padding_mode=mode)
    finally:
        gpuconv.set_workspace_limit(64 << 20)
    np.testing.assert_array_equal(y, right.astype("f4"))


def test_the_regions_are_all_outputs_and_the_image_is_not_copied():
    spec = ConvSpec(1, 2, 40, 50, 3, 5, 3, ((2, 2), (1, 1)), padding_mode="reflect")
    covered = np.zeros((spec.P, spec.Q), int)
    for region in regions_of(spec):
        covered[region.outputs] += 1
        assert not region.is_copied or region.spec.H * region.spec.W <= 6 * 52
    assert (covered == 1).all()


@over_modes
def test_a_value_that_is_not_finite_reaches_what_sees_it(mode):
    x = integers((1, 1, 9, 9), "f4")
    x[0, 0, 1, 4] = np.nan
    y = gpuconv.conv2d(x, np.ones((1, 1, 3, 3), "f4"), padding=1, padding_mode=mode)
    right = reference.conv2d(np.isnan(x) * 1.0, np.ones((1, 1, 3, 3)), padding=1, padding_mode=mode) > 0
    np.testing.assert_array_equal(np.isnan(y), right)


@over_modes
def test_torch_pads_so_too(mode):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Conv2d(4, 6, 3, stride=(2, 1), padding=(2, 1), padding_mode=mode)
    theirs = layer(torch.from_numpy(X)).detach()
    weight, bias = (each.detach() for each in (layer.weight, layer.bias))
    ours = gpuconv.conv2d(torch.from_numpy(X), weight, bias, (2, 1), (2, 1), padding_mode=mode)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_explain_names_what_runs():
    verdicts = gpuconv.explain(gpuconv.conv2d, X, W, padding=1, padding_mode="circular")
    assert verdicts[0][0] == "conv_mirrored"
    assert all(verdict.startswith("unsupported: of ") for _, verdict in verdicts[1:])


WRONG = [
    ({"padding_mode": "mirror"}, ValueError, "padding_mode must be one of zeros, reflect, .*got 'mirror'"),
    ({"padding_mode": "Reflect"}, ValueError, "did you mean 'reflect'"),
    ({"padding_mode": None}, TypeError, "padding_mode must be one of .*got None"),
    ({"padding_mode": X}, TypeError, "padding_mode must be one of .*got array"),
    ({"padding_mode": "reflect", "padding": (7, 1)}, ValueError, r"padding must be at most 6 .*got \(7, 7\)"),
    ({"padding_mode": "circular", "padding": (1, 10)}, ValueError, "padding must be at most 9 for"),
    (
        {"input": X[:, :, :0], "padding_mode": "replicate", "padding": 2},
        ValueError,
        "padding must be at most 0 for padding_mode='replicate' and an input of 0",
    ),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_arguments(wrong, error, message):
    with pytest.raises(error, match=message):
        gpuconv.conv2d(**{"input": X, "weight": W, **wrong})


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_padding_of_2_to_the_30_is_refused(dtype):
    """Before tables of its places are made, of 16 GB."""
    x, w = np.ones((1, 1, 2, 2), dtype), np.ones((1, 1, 1, 1), dtype)
    with pytest.raises(ValueError, match="the padded image has a side of"):
        gpuconv.conv2d(x, w, stride=2**30, padding=2**30, padding_mode="replicate")
    assert gpuconv.conv2d(x, w, stride=2**30, padding=2**30).sum() == 1
