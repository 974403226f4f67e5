"""Inputs may share memory with each other, and with themselves; only `out` may share none with them."""

import numpy as np
import pytest

import gpuconv
from gpuconv import cpu
from tests import reference
from tests.cases import integers
from tests.taken import reason

BUFFER = integers((4000,), "float32")
SWAPPED = BUFFER.astype(BUFFER.dtype.newbyteorder())
SHAPES = (2, 4, 8, 10), (4, 4, 3, 3), (4,)


def taken(start, shape, buffer=BUFFER):
    return buffer[start : start + np.prod(shape)].reshape(shape)


OPERANDS = {
    "one array": (taken(0, SHAPES[1]), taken(0, SHAPES[1]), taken(0, SHAPES[2])),
    "the weight within the input": (taken(0, SHAPES[0]), taken(100, SHAPES[1]), taken(30, SHAPES[2])),
    "backwards": (
        taken(0, SHAPES[0])[:, :, ::-1, ::-1], taken(100, SHAPES[1])[::-1], taken(30, SHAPES[2])[::-1],
    ),
    "an input of overlapping rows": (
        np.lib.stride_tricks.as_strided(BUFFER, (2, 4, 9, 11), (40, 12, 44, 4)), taken(50, SHAPES[1]), None,
    ),
    "repeated": (
        np.broadcast_to(BUFFER[:30], (2, 4, 12, 30)), np.broadcast_to(BUFFER[3:6], SHAPES[1]),
        np.broadcast_to(BUFFER[:1], SHAPES[2]),
    ),
    "byte-swapped": (
        taken(0, SHAPES[0], SWAPPED), taken(50, SHAPES[1], SWAPPED), taken(0, SHAPES[2], SWAPPED),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERANDS)
@pytest.mark.parametrize("algorithm", [None, *(algorithm.name for algorithm in cpu.ALGORITHMS["conv"])])
def test_inputs_that_share_memory(algorithm, name):
    x, w, bias = OPERANDS[name]
    if algorithm and reason(gpuconv.conv2d, algorithm, (x, w, bias), padding=1):
        return  # as `test_conv2d.test_refusals_say_why` has it
    before = BUFFER.copy()
    expected = reference.conv2d(x, w, bias, padding=1).astype("float32")
    np.testing.assert_array_equal(gpuconv.conv2d(x, w, bias, padding=1, algorithm=algorithm), expected)
    np.testing.assert_array_equal(BUFFER, before)


def test_out_beside_an_input_that_is_the_weight():
    buffer = BUFFER.copy()
    x, out = taken(0, SHAPES[1], buffer), taken(144, SHAPES[1], buffer)
    expected = reference.conv2d(x, x, padding=1)
    gpuconv.conv2d(x, x, padding=1, out=out)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(np.delete(buffer, np.s_[144:288]), np.delete(BUFFER, np.s_[144:288]))


def test_out_that_shares_bytes_with_a_weight_of_another_view():
    memory = np.zeros(400, np.uint8)
    w, out = memory[:216].view("float32").reshape(3, 2, 3, 3), memory[100:292].view("float32")
    with pytest.raises(ValueError, match="out overlaps weight in memory"):
        gpuconv.conv2d(integers((1, 2, 6, 6), "float32"), w, out=out.reshape(1, 3, 4, 4))


def test_out_that_shares_memory_with_a_byte_swapped_input():
    memory = np.zeros((1, 2, 6, 6), np.float32)
    x = memory.view(memory.dtype.newbyteorder())
    with pytest.raises(ValueError, match="out overlaps input in memory"):
        gpuconv.max_pool2d(x[:, :, ::2, ::2], 1, out=memory[:, :, ::2, ::2])


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("function", [gpuconv.max_pool2d, gpuconv.avg_pool2d, gpuconv.conv2d])
def test_an_integer_out_is_refused_before_it_is_written_to(function, dtype):
    x, out = integers((1, 2, 6, 6), "float32"), np.ones((1, 2, 3, 3), dtype)
    window = np.ones((2, 2, 2, 2), np.float32) if function is gpuconv.conv2d else 2
    more = {"stride": 2} if function is gpuconv.conv2d else {}
    with pytest.raises(TypeError, match=f"out must have the input's dtype float32, got {dtype}"):
        function(x, window, **more, out=out)
    assert (out == 1).all()


@pytest.mark.parametrize("out", [0, 3, True, 2.5, "out", [1.0], (), np.float32(1)], ids=repr)
def test_what_is_no_array_is_no_out(out):
    with pytest.raises(TypeError, match="out must be an array"):
        gpuconv.max_pool2d(integers((1, 2, 6, 6), "float32"), 2, out=out)
