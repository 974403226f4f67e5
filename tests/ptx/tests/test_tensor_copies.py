"""Tensor copies: tiles, im2col, strides, fills and swizzles, against definitions written out again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests import ptx

from ..arguments import Pointer
from ..kernel import Kernel
from .assemble import HEADER, run
from .bulk_assemble import BEGIN, SHARED, load_text, loaded, store, store_text

# Which 16-byte chunk of a row of 128 bytes lies where, row after row: tables of the PTX ISA manual.
PATTERNS = {
    None: ["01234567"],
    32: ["01234567", "10325476"],
    64: ["01234567", "10325476", "23016745", "32107654"],
    128: [
        "01234567",
        "10325476",
        "23016745",
        "32107654",
        "45670123",
        "54761032",
        "67452301",
        "76543210",
    ],
}


def arranged(data: np.ndarray, swizzle: int | None) -> np.ndarray:
    """The bytes of an array as the tables place them; their number is a multiple of 16."""
    chunks = np.frombuffer(data.tobytes(), np.uint8).reshape(-1, 16)
    pattern = PATTERNS[swizzle]
    order = [8 * (i // 8) + int(pattern[i // 8 % len(pattern)][i % 8]) for i in range(len(chunks))]
    return chunks[order].reshape(-1)


def registers(coordinates) -> tuple[str, str]:
    """(What loads them, the operand), given innermost last as for NumPy."""
    moves = [f"    mov.b32 %r{40 + i}, {value};\n" for i, value in enumerate(reversed(coordinates))]
    return "".join(moves), "{" + ", ".join(f"%r{40 + i}" for i in range(len(coordinates))) + "}"


def tile_of(x: np.ndarray, start, box, steps=None, fill=0) -> np.ndarray:
    """The elements of a tile by a loop over all of them."""
    steps = steps or [1] * x.ndim
    extents = [-(-extent // step) for extent, step in zip(box, steps, strict=True)]
    result = np.full(extents, fill, x.dtype)
    for index in itertools.product(*map(range, extents)):
        place = tuple(s + i * step for s, i, step in zip(start, index, steps, strict=True))
        if all(0 <= p < size for p, size in zip(place, x.shape, strict=True)):
            result[index] = x[place]
    return result


def load_tile(tensor, start, size: int, form: str = "", rank: int | None = None) -> np.ndarray:
    moves, operand = registers(start)
    copy = (
        f"cp.async.bulk.tensor.{rank or len(start)}d.shared::cluster.global{form}."
        f"mbarrier::complete_tx::bytes [%r10], [%rd0, {operand}], [%r11];"
    )
    return loaded(copy, size, tensor, before=moves)


def numbered(shape, dtype=np.float32) -> np.ndarray:
    return np.arange(1, np.prod(shape) + 1).reshape(shape).astype(dtype)


TILES = [
    ((100,), (16,), (3,), None, None, np.float32),
    ((100,), (32,), (90,), None, None, np.uint8),
    ((20, 32), (8, 16), (5, 8), None, None, np.float32),
    ((20, 32), (8, 16), (-3, -4), None, None, np.float32),
    ((20, 32), (8, 16), (15, 30), None, None, np.float32),
    ((20, 32), (8, 16), (100, 0), None, None, np.float32),
    ((20, 32), (8, 8), (1, 4), None, (3, 1), np.float32),
    ((20, 32), (9, 8), (1, 4), 32, (2, 1), np.int32),
    ((20, 64), (16, 32), (2, 16), 64, None, np.float16),
    ((20, 64), (16, 64), (2, 3), 128, None, np.float16),
    ((20, 64), (20, 32), (2, 3), 128, None, np.float32),
    ((20, 32), (16, 16), (2, 3), 64, None, np.float32),
    ((20, 32), (16, 8), (2, 3), 32, None, np.float32),
    ((20, 32), (16, 16), (2, 3), 128, None, np.int64),
    ((5, 7, 12), (3, 4, 4), (1, 2, 3), None, None, np.float32),
    ((5, 7, 12), (3, 5, 4), (4, -2, 3), None, (1, 2, 1), np.float32),
    ((3, 5, 7, 8), (2, 3, 4, 8), (1, 1, 5, 0), 32, None, np.float32),
    ((2, 3, 5, 7, 8), (1, 2, 3, 4, 8), (1, 1, 1, 5, 0), 32, None, np.float32),
    ((2, 3, 5, 7, 8), (2, 3, 2, 4, 4), (0, 0, 4, 5, 2), None, (1, 2, 1, 3, 1), np.float32),
]


@pytest.mark.parametrize(("shape", "box", "start", "swizzle", "steps", "dtype"), TILES)
def test_tiles(shape, box, start, swizzle, steps, dtype):
    x = numbered(shape, dtype)
    expected = tile_of(x, start, box, steps)
    result = load_tile(ptx.tensor_map(x, box, element_strides=steps, swizzle=swizzle), start, expected.nbytes)
    assert np.array_equal(result, arranged(expected, swizzle))


@pytest.mark.parametrize(("shape", "box", "start", "swizzle", "steps", "dtype"), TILES)
def test_stores_of_tiles(shape, box, start, swizzle, steps, dtype):
    """What lies outside of the tensor is not stored."""
    x = np.zeros(shape, dtype)
    tile = numbered(tile_of(x, start, box, steps).shape, dtype)
    expected = x.copy()
    for index in itertools.product(*map(range, tile.shape)):
        place = tuple(s + i * step for s, i, step in zip(start, index, steps or [1] * 5, strict=False))
        if all(0 <= p < size for p, size in zip(place, shape, strict=True)):
            expected[place] = tile[index]
    moves, operand = registers(start)
    copy = f"cp.async.bulk.tensor.{len(start)}d.global.shared::cta.tile.bulk_group [%rd0, {operand}], [%r10];"
    text = store_text(copy, tile.nbytes).replace("    fence.proxy", moves + "    fence.proxy")
    tensor = ptx.tensor_map(x, box, element_strides=steps, swizzle=swizzle)
    run(text, tensor, arranged(tile, swizzle).copy(), declarations=SHARED, block=64)
    assert np.array_equal(x, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_fill_with_nan(dtype):
    x = numbered((6, 16), dtype)
    result = load_tile(ptx.tensor_map(x, (8, 16), fill="nan"), (-1, 8), 8 * 16 * x.itemsize).view(dtype)
    assert np.array_equal(result, tile_of(x, (-1, 8), (8, 16), fill=np.nan).reshape(-1), equal_nan=True)


def test_views_and_other_forms():
    """A part of a larger array, transposed; a prefetch and cache hints; coordinates as constants."""
    x = numbered((6, 10, 8))[1:5, :, :4].transpose(1, 0, 2)
    tensor = ptx.tensor_map(x, (4, 2, 4))
    copy = (
        "cp.async.bulk.tensor.3d.shared::cta.global.tile.mbarrier::complete_tx::bytes.multicast::cluster"
        ".L2::cache_hint [%r10], [%rd0, {0, 1, 2}], [%r11], %h3, %rd9;"
    )
    before = "    mov.u16 %h3, 1;\n    mov.u64 %rd9, 0;\n    prefetch.tensormap [%rd0];\n"
    before += "    fence.proxy.tensormap::generic.acquire.gpu [%rd0], 128;\n"
    result = loaded(copy, 128, tensor, before=before)
    assert np.array_equal(result.view(np.float32).reshape(4, 2, 4), x[2:6, 1:3, :4])


# -- im2col ----------------------------------------------------------------------------------------


def pixels_of(x, lower, upper, steps, base, offsets, pixels, channels, fill=0):
    """Base pixels by counting through all of them: images, then rows, then columns."""
    spatial = x.shape[1:-1]
    ranges = [
        range(low, size + high, step)
        for low, high, size, step in zip(lower, upper, spatial, steps, strict=True)
    ]
    channel, image, *start = base[-1], base[0], *base[1:-1]
    # More images than there are, of which nothing is inside.
    places = itertools.product(range(image, image + 1 + pixels), *ranges)
    places = itertools.dropwhile(lambda place: place != (image, *start), places)
    result = np.full((pixels, channels), fill, x.dtype)
    for row, (n, *place) in zip(result, places, strict=False):
        position = (n, *(p + o for p, o in zip(place, offsets, strict=True)))
        if all(0 <= p < size for p, size in zip(position, x.shape, strict=False)):
            have = x[position][channel : channel + channels]
            row[: have.size] = have
    return result


IM2COL = [
    # (shape, lower, upper, steps, first base pixel with image and channel, offsets, pixels, channels)
    ((2, 9, 8), (-1,), (-1,), (1,), (0, -1, 0), (0,), 16, 8),
    ((2, 9, 8), (-1,), (-1,), (1,), (0, 5, 0), (2,), 16, 8),
    ((3, 6, 7, 8), (-1, -1), (-1, -1), (1, 1), (0, -1, -1, 0), (0, 0), 64, 8),
    ((3, 6, 7, 8), (-1, -1), (-1, -1), (1, 1), (0, 2, 4, 0), (2, 1), 64, 8),
    ((3, 6, 7, 8), (-1, -1), (-1, -1), (2, 2), (1, 1, 3, 0), (2, 0), 32, 8),
    ((3, 6, 7, 8), (0, 0), (-2, -2), (1, 1), (0, 3, 4, 0), (2, 2), 64, 8),
    ((3, 6, 7, 16), (-2, -2), (-2, -2), (1, 1), (2, 0, 0, 8), (4, 0), 64, 8),
    ((3, 6, 7, 12), (-1, -2), (0, 1), (3, 2), (0, -1, -2, 8), (1, 2), 40, 8),
    ((2, 3, 4, 5, 8), (-1, -1, -1), (-1, -1, -1), (1, 1, 1), (0, 1, 2, 3, 0), (2, 1, 0), 96, 8),
    ((2, 3, 4, 5, 8), (0, -1, -1), (-1, -1, 0), (2, 1, 3), (0, 0, -1, -1, 0), (1, 0, 2), 96, 8),
]


@pytest.mark.parametrize("swizzle", [None, 32])
@pytest.mark.parametrize(
    ("shape", "lower", "upper", "steps", "base", "offsets", "pixels", "channels"), IM2COL
)
def test_im2col(shape, lower, upper, steps, base, offsets, pixels, channels, swizzle):
    x = numbered(shape)
    tensor = ptx.im2col_map(
        x, lower, upper, channels, pixels, element_strides=(1, *steps, 1), swizzle=swizzle
    )
    moves, operand = registers(base)
    spatial = "".join(f"    mov.u16 %h{4 + i}, {offset};\n" for i, offset in enumerate(reversed(offsets)))
    halves = "{" + ", ".join(f"%h{4 + i}" for i in range(len(offsets))) + "}"
    copy = (
        f"cp.async.bulk.tensor.{x.ndim}d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
        f"[%r10], [%rd0, {operand}], [%r11], {halves};"
    )
    result = loaded(copy, pixels * channels * 4, tensor, before=moves + spatial)
    expected = pixels_of(x, lower, upper, steps, base, offsets, pixels, channels)
    assert np.array_equal(result, arranged(expected, swizzle))


def test_im2col_is_a_convolution():
    """All taps of a strided, padded, dilated window, summed up, are the sum over the window."""
    rng = np.random.default_rng(5)
    x = rng.integers(-9, 9, (2, 7, 8, 8)).astype(np.float32)
    (rows, columns), stride, dilation, padding = (2, 3), 2, 2, 1
    upper = [padding - dilation * (extent - 1) for extent in (rows, columns)]
    tensor = ptx.im2col_map(x, (-padding, -padding), upper, 8, 32, element_strides=(1, stride, stride, 1))
    total = np.zeros((32, 8), np.float32)
    moves, operand = registers((0, -padding, -padding, 0))
    for r, s in itertools.product(range(rows), range(columns)):
        offsets = f"    mov.u16 %h4, {s * dilation};\n    mov.u16 %h5, {r * dilation};\n"
        copy = (
            "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
            f"[%r10], [%rd0, {operand}], [%r11], {{%h4, %h5}};"
        )
        total += loaded(copy, 1024, tensor, before=moves + offsets).view(np.float32).reshape(32, 8)
    padded = np.pad(x, ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, (dilation * (rows - 1) + 1, dilation * (columns - 1) + 1), (1, 2)
    )
    expected = windows[:, ::stride, ::stride, :, ::dilation, ::dilation].sum(axis=(-1, -2)).reshape(-1, 8)
    assert np.array_equal(total[: len(expected)], expected) and len(expected) <= 32


def test_store_of_im2col():
    """Pixels in the order of im2col without offsets, each of which is stored once."""
    x = np.zeros((2, 4, 5, 8), np.float32)
    data = numbered((48, 8))
    copy = (
        "cp.async.bulk.tensor.4d.global.shared::cta.im2col_no_offs.bulk_group [%rd0, {0, 0, 0, 0}], [%r10];"
    )
    store(copy, data, ptx.im2col_map(x, (0, 0), (0, 0), 8, 48))
    assert np.array_equal(x.reshape(-1, 8), data[:40])


# -- how a map gets to the kernel ------------------------------------------------------------------


def test_map_as_a_parameter():
    text = load_text(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%r10], [%rd0, {4, 2}], [%r11];",
        64,
    )
    kernel = Kernel(f"""{HEADER}{SHARED}
.visible .entry test(.param .u32 first, .param .align 64 .b8 map[128], .param .u64 result)
{{
    .reg .pred %p<9>;
    .reg .b32 %r<64>;
    .reg .b64 %rd<32>;
    mov.b64 %rd0, map;
    cvta.param.u64 %rd0, %rd0;
    ld.param.u64 %rd1, [result];
    mov.u32 %r3, %tid.x;
    mov.u32 %r2, %ntid.x;
{text}
    ret;
}}""")
    x, result = numbered((8, 8)), np.zeros(16, np.float32)
    kernel.launch(1, 32, 7, ptx.tensor_map(x, (4, 4)), ptx.out(result))
    assert np.array_equal(result.reshape(4, 4), x[2:6, 4:])


def test_array_beside_its_map():
    """The map and a plain pointer may mean the same memory; the map may be of undefined memory."""
    x = np.zeros((8, 8), np.float32)
    moves = "    @%p1 cp.async.bulk.wait_group 0;\n"
    copy = "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%rd0, {0, 0}], [%r10];"
    text = (
        store_text(copy, 256)
        + moves
        + "    @%p1 ld.global.f32 %f1, [%rd2+16];\n    @%p1 st.global.f32 [%rd1], %f1;\n"
    )
    data = numbered((8, 8))
    run(text, ptx.tensor_map(ptx.out(x), (8, 8)), data, x, declarations=SHARED, block=64)
    assert np.array_equal(x, numbered((8, 8))) and data[0, 0] == 5
    with pytest.raises(ptx.AsynchronousError, match="still being written"):
        run(
            text.replace("wait_group 0", "wait_group.read 0"),
            ptx.tensor_map(x, (8, 8)),
            data,
            x,
            declarations=SHARED,
            block=64,
        )


@pytest.mark.parametrize("name", ["add", "max"])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.float16])
def test_reductions(name, dtype):
    rng = np.random.default_rng(6)
    x, data = rng.integers(-50, 50, (10, 16)).astype(dtype), rng.integers(-50, 50, (4, 8)).astype(dtype)
    expected = x.copy()
    function = {"add": np.add, "max": np.maximum}[name]
    for _ in range(2):
        expected[8:10, 4:12] = function(expected[8:10, 4:12], data[:2])
    copy = (
        f"cp.reduce.async.bulk.tensor.2d.global.shared::cta.{name}.tile.bulk_group [%rd0, {{4, 8}}], [%r10];"
    )
    store(copy, data, ptx.tensor_map(x, (4, 8)), grid=2)
    assert np.array_equal(x, expected)


def test_traffic():
    """Rows of 32 bytes, aligned and not; what is outside of the tensor is not read."""
    copy = LOAD.replace("{0, 0}", "{{{start}, 0}}")
    for start, bytes_read, sectors in ((0, 512, 16), (4, 512, 32), (16, 0, 0)):
        text = load_text(copy.format(start=start), 512)
        tensor = ptx.tensor_map(numbered((16, 16)), (16, 8))
        report = run(text, tensor, np.zeros(512, np.uint8), declarations=SHARED, block=64, count_memory=True)
        traffic = report.traffic("global", "cp.async.bulk.tensor")
        assert (traffic.requests, traffic.bytes, traffic.sectors) == (1, bytes_read, sectors)


# -- faults ----------------------------------------------------------------------------------------

LOAD = (
    "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
    "[%r10], [%rd0, {0, 0}], [%r11];"
)


@pytest.mark.parametrize(
    ("old", "new", "error", "match"),
    [
        ("[%r10]", "[%r10+64]", ptx.MisalignedError, "multiple of 128"),
        ("[%r10]", "[%r10+16256]", ptx.OutOfBoundsError, "shared memory"),
        ("[%rd0,", "[%rd0+8,", ptx.MisalignedError, "multiple of 64"),
        ("[%rd0,", "[%rd0+64,", ptx.OutOfBoundsError, "structure 0"),
        ("[%rd0,", "[%rd1,", ptx.UninitialisedError, "no tensor map"),
        ("2d", "3d", ptx.LaunchError, "tiled tensor map of 2 dimensions"),
        ("{0, 0}", "{0, %r50}", ptx.UninitialisedError, "%r50"),
    ],
)
def test_faults_of_a_load(old, new, error, match):
    copy = LOAD.replace(old, new)
    if "3d" in copy:
        copy = copy.replace("{0, 0}", "{0, 0, 0}")
    with pytest.raises(error, match=match) as caught:
        loaded(copy, 512, ptx.tensor_map(numbered((32, 4)), (32, 4)))
    assert caught.value.thread == (0, 0, 0) or error is ptx.LaunchError


def test_im2col_instruction_with_a_tiled_map():
    copy = LOAD.replace("2d", "3d").replace("global.", "global.im2col.").replace("{0, 0}", "{0, 0, 0}")
    with pytest.raises(ptx.LaunchError, match="a tiled tensor map of 3"):
        loaded(
            copy.replace("[%r11]", "[%r11], {%h3}"),
            64,
            ptx.tensor_map(numbered((2, 2, 4)), (2, 2, 4)),
            before="    mov.u16 %h3, 0;\n",
        )


def test_base_pixel_outside_of_its_box():
    tensor = ptx.im2col_map(numbered((2, 9, 8)), (0,), (-2,), 8, 16)
    copy = (
        "cp.async.bulk.tensor.3d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes "
        "[%r10], [%rd0, {0, 7, 0}], [%r11], {%h3};"
    )
    with pytest.raises(ptx.OutOfBoundsError, match="base pixel") as caught:
        loaded(copy, 512, tensor, before="    mov.u16 %h3, 0;\n")
    assert caught.value.thread == (0, 0, 0)


def test_kernel_may_not_write_to_a_map():
    text = BEGIN + "    @%p1 st.global.u32 [%rd0], %r3;\n"
    with pytest.raises(ptx.ReadOnlyError):
        run(text, ptx.tensor_map(numbered((8, 4)), (8, 4)), np.zeros(1), declarations=SHARED)


X = np.zeros((8, 16), np.float32)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ptx.tensor_map(X, (4,)),
        lambda: ptx.tensor_map(X, (4, 2)),
        lambda: ptx.tensor_map(X, (0, 4)),
        lambda: ptx.tensor_map(X, (257, 4)),
        lambda: ptx.tensor_map(X, (4, 4), swizzle=32),
        lambda: ptx.tensor_map(X, (4, 4), swizzle=16),
        lambda: ptx.tensor_map(X, (4, 4), element_strides=(1, 2)),
        lambda: ptx.tensor_map(X, (4, 4), element_strides=(9, 1)),
        lambda: ptx.tensor_map(X, (4, 4), fill="one"),
        lambda: ptx.tensor_map(X.astype(np.int32), (4, 4), fill="nan"),
        lambda: ptx.tensor_map(X[:, ::2], (4, 4)),
        lambda: ptx.tensor_map(X[::-1], (4, 4)),
        lambda: ptx.tensor_map(np.zeros((8, 5), np.float32), (4, 4)),
        lambda: ptx.tensor_map(np.zeros((1,) * 5 + (8,), np.float32), (1,) * 5 + (4,)),
        lambda: ptx.tensor_map(np.zeros((8, 4), np.complex64), (4, 4)),
        lambda: ptx.im2col_map(X, (), (), 4, 4),
        lambda: ptx.im2col_map(np.zeros((2, 4, 8), np.float32), (-1,), (-6,), 8, 4),
        lambda: ptx.im2col_map(np.zeros((2, 4, 8), np.float32), (-1, -1), (-1,), 8, 4),
        lambda: ptx.im2col_map(np.zeros((2, 4, 8), np.float32), (0,), (0,), 6, 4),
        lambda: ptx.im2col_map(np.zeros((2, 4, 8), np.float32), (0,), (0,), 8, 1025),
        lambda: ptx.im2col_map(np.zeros((2, 4, 4, 8), np.float32), (-129, 0), (0, 0), 8, 4),
    ],
)
def test_maps_that_cannot_be(make):
    with pytest.raises(ptx.LaunchError):
        make()


def test_tensor_that_is_not_aligned():
    base = np.zeros(200, np.float32)
    tensor = ptx.tensor_map(Pointer(base[1:129].reshape(8, 16)), (4, 4))
    with pytest.raises(ptx.LaunchError, match="multiple of 16"):
        loaded(LOAD, 64, tensor)
