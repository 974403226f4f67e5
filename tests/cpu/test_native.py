"""Arrays in another byte order: the results are right, and no more is copied than windows see."""

import tracemalloc

import numpy as np
import pytest

import gpuconv
from gpuconv.cpu.engine import workspace
from gpuconv.cpu.engine.native import pieces, seen
from gpuconv.spec import Axis, ConvSpec, PoolSpec
from tests import reference
from tests.cases import integers

MEGABYTE = 1 << 20
SWAPPED = np.dtype("float32").newbyteorder()


def copied(call):
    """(result, bytes that the call has allocated at most)."""
    workspace._kept.buffers.clear()
    workspace._kept.last.clear()
    call()  # learned, and compiled
    workspace._kept.buffers.clear()
    workspace._kept.last.clear()
    tracemalloc.start()
    try:
        result = call()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def geometry(rng, op):
    """(a function of x and more, the reference of it), of random parameters."""
    (R, S), stride, dilation = rng.integers(1, 5, 2).tolist(), *rng.integers(1, 8, (2, 2)).tolist()
    pads = [[int(rng.integers(0, taps // 2 + 1)) for _ in range(2)] for taps in (R, S)]
    parameters = {"stride": stride, "padding": pads}
    if op == "conv":
        parameters["dilation"] = dilation
        w = integers((2, 3, R, S), "float32", 1)
        return (
            lambda x, **more: gpuconv.conv2d(x, w, **parameters, **more),
            lambda x: (reference.conv2d(x, w, **parameters), None),
        )
    parameters |= {"kernel_size": (R, S), "ceil_mode": bool(rng.random() < 0.5)}
    if op == "max":
        parameters["dilation"] = dilation
        return (
            lambda x, **more: gpuconv.max_pool2d(x, **parameters, return_indices=True, **more),
            lambda x: reference.max_pool2d(x, **parameters),
        )
    parameters["count_include_pad"] = bool(rng.random() < 0.5)
    return (
        lambda x, **more: gpuconv.avg_pool2d(x, **parameters, **more),
        lambda x: (reference.avg_pool2d(x, **parameters), None),
    )


@pytest.mark.parametrize("op", ["conv", "max", "avg"])
@pytest.mark.parametrize("room", [64 * MEGABYTE, 4000, 0])
def test_any_geometry_in_pieces_of_any_size(room, op, limit_workspace):
    limit_workspace(room)
    rng = np.random.default_rng(len(op) + room)
    tried = 0
    while tried < 25:
        values = integers((int(rng.integers(1, 4)), 3, *rng.integers(1, 20, 2)), "float32")
        function, truth = geometry(rng, op)
        try:
            function(values)
        except ValueError:  # too small for its windows
            continue
        expected, places = truth(values)
        for x_dtype, y_dtype in (("=f4", SWAPPED), (SWAPPED, "=f4"), (SWAPPED, SWAPPED)):
            out = np.full(expected.shape, np.nan, y_dtype)
            result = function(values.astype(x_dtype), out=out)
            np.testing.assert_array_equal(out, expected.astype("float32"))
            if places is not None:
                np.testing.assert_array_equal(result[1], places)
        tried += 1


CALLS = {
    "conv2d": lambda x, **more: gpuconv.conv2d(x, np.ones((1, 1, 2, 2), np.float32), stride=256, **more),
    "conv2d, dilation": lambda x, **more: gpuconv.conv2d(
        x, np.ones((1, 1, 3, 3), np.float32), stride=128, dilation=128, **more
    ),
    "max_pool2d": lambda x, **more: gpuconv.max_pool2d(x, 3, 256, 1, **more),
    "max_pool2d, dilation": lambda x, **more: gpuconv.max_pool2d(x, 3, 300, dilation=50, **more),
    "avg_pool2d": lambda x, **more: gpuconv.avg_pool2d(x, 2, 200, **more),
    "one window": lambda x, **more: gpuconv.avg_pool2d(x, 3, 10_000, **more),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_few_outputs_of_a_large_file_copy_what_they_see(name, tmp_path):
    x = np.memmap(tmp_path / "x", SWAPPED, "w+", shape=(1, 1, 4096, 4096))  # 64 MiB, with holes
    x[:, :, ::64, ::64] = 2
    expected = CALLS[name](np.asarray(x).astype("float32"))
    for view in (x, x[..., ::-1, ::-1][..., ::-1, ::-1]):
        y, needed = copied(lambda view=view: CALLS[name](view))
        np.testing.assert_array_equal(y, expected)
        assert needed < MEGABYTE


@pytest.mark.parametrize("repeated", [70_000, 2**33])
def test_a_value_that_is_repeated_for_ever(repeated):
    x = np.broadcast_to(np.full((1, 1, 1, 1), 3, SWAPPED), (1, 1, 4, repeated))
    y, needed = copied(lambda: gpuconv.max_pool2d(x, 2, (1, 2**16)))
    assert (y == 3).all() and needed < MEGABYTE + 30 * y.size


@pytest.mark.parametrize("op", ["conv", "max", "mean of planes"])
@pytest.mark.parametrize("of", ["input", "out", "both"])
def test_what_is_seen_whole_is_copied_piece_by_piece(op, of, limit_workspace):
    limit_workspace(MEGABYTE)
    x = (
        integers((1, 1, 1024, 2048), "float32")
        if op != "mean of planes"
        else integers((2, 32, 200, 200), "float32")
    )
    w = np.ones((1, 1, 3, 3), np.float32)
    function = {
        "conv": lambda x, **more: gpuconv.conv2d(x, w, padding=1, **more),
        "max": lambda x, **more: gpuconv.max_pool2d(x, 3, 1, 1, **more),
        "mean of planes": lambda x, **more: gpuconv.avg_pool2d(x, 200, **more),
    }[op]
    expected = function(x)
    out = np.empty(expected.shape, "=f4" if of == "input" else SWAPPED)
    given = x if of == "out" else x.astype(SWAPPED)
    _, needed = copied(lambda: function(given, out=out))
    np.testing.assert_array_equal(out, expected)
    assert needed < 2.5 * MEGABYTE  # the copies, and the workspace of the algorithm


def test_places_are_those_that_windows_meet():
    assert seen(Axis(100, 3, (0, 0), 40), 0, 2, True).places.tolist() == [0, 1, 2, 40, 41, 42]
    assert seen(Axis(100, 3, (1, 0), 40), 0, 2, True).axis == Axis(5, 3, (1, 0), 3, 1)
    assert seen(Axis(100, 2, (0, 0), 6, 9), 1, 3, True).index == slice(6, 28, 3)
    assert seen(Axis(100, 3, (0, 0), 2), 4, 2, True).index == slice(8, 13, 1)
    assert seen(Axis(100, 3, (0, 0), 40), 0, 2, False).index == slice(0, 43, 1)


@pytest.mark.parametrize("limit", [10**9, 10_000, 1000, 1])
@pytest.mark.parametrize("spec", [PoolSpec("max", 3, 5, 40, 30, 3, 3), ConvSpec(3, 5, 40, 30, 7, 3, 3)])
def test_pieces_fit_and_cover_the_outputs_once(spec, limit):
    covered = np.zeros(spec.out_shape, int)
    for piece in pieces(spec, True, True, limit):
        channels = piece.channels if isinstance(spec, PoolSpec) else slice(None)
        covered[piece.images, channels, piece.outputs] += 1
        part = piece.spec
        results = np.prod(part.out_shape)
        fits = part.N * part.C * part.H * part.W + results <= limit
        assert fits or (part.N == part.P == 1 and (part.C == 1 or isinstance(spec, ConvSpec)))
    assert (covered == 1).all()
