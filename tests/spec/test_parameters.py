"""Every form of a parameter comes out the same; every wrong one is refused by name and value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuconv.spec.parameters import BOUND, as_flag, as_integer, as_pads, as_pair
from tests import reference

SIZE, KERNEL, STRIDE, DILATION = (7, 8), (3, 4), (2, 3), (2, 1)

NOT_INTEGERS = (1.0, "1", b"1", True, np.True_, None, 1j, np.float32(1), object, {1}, {1: 1}, [], [[1]])


def pads(padding):
    return as_pads(padding, SIZE, KERNEL, STRIDE, DILATION)


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_integers(value):
    number = as_integer(value, "n", least=3)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize("value", NOT_INTEGERS, ids=repr)
def test_what_is_no_integer(value):
    with pytest.raises(TypeError) as caught:
        as_integer(value, "groups", least=1)
    assert str(caught.value) == f"groups must be an integer, got {value!r}"


@pytest.mark.parametrize("value", [0, -1, BOUND, 2**80, np.int64(-5)])
def test_integers_out_of_range(value):
    with pytest.raises(ValueError, match="groups must be from 1 to 2147483647, got") as caught:
        as_integer(value, "groups", least=1)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_])
def test_flags(value):
    assert as_flag(value, "ceil_mode") is bool(value)


@pytest.mark.parametrize("value", [0, 1, None, "True", [], np.array([True]), 1.0], ids=repr)
def test_what_is_no_flag(value):
    with pytest.raises(TypeError) as caught:
        as_flag(value, "ceil_mode")
    assert str(caught.value) == f"ceil_mode must be True or False, got {value!r}"


@pytest.mark.parametrize(
    ("value", "pair"),
    [
        (2, (2, 2)),
        ((2,), (2, 2)),
        ((2, 3), (2, 3)),
        ([2, 3], (2, 3)),
        (np.array([2, 3]), (2, 3)),
        (np.array(2), (2, 2)),
        ((np.int32(2), 3), (2, 3)),
        (range(2, 4), (2, 3)),
    ],
)
def test_pairs(value, pair):
    assert as_pair(value, "stride", least=1) == pair


@pytest.mark.parametrize("value", [(), (1, 2, 3), [], np.array([1, 2, 3])], ids=repr)
def test_pairs_of_the_wrong_length(value):
    with pytest.raises(ValueError) as caught:
        as_pair(value, "stride", least=1)
    assert str(caught.value) == f"stride must be one integer or two (height, width), got {value!r}"


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ((1, 2.5), "an integer, got 2.5"), ((None, 1), "an integer, got None"),
        ((True, 1), "an integer, got True"), ("12", "an integer or two (height, width), got '12'"),
        ({1, 2}, "an integer or two (height, width), got {1, 2}"),
        (bytearray(b"12"), "an integer or two (height, width), got bytearray(b'12')"),
    ],
)  # fmt: skip
def test_pairs_of_the_wrong_type(value, wrong):
    with pytest.raises(TypeError) as caught:
        as_pair(value, "stride", least=1)
    assert str(caught.value) == f"stride must be {wrong}"


def test_a_buffer_of_bytes_is_no_pair():
    for read in (as_pair, lambda value, *_, **__: pads(value)):
        with pytest.raises(TypeError, match=r"must be an integer.*got <memory"):
            read(memoryview(b"12"), "stride", least=1)


@pytest.mark.parametrize(("value", "wrong"), [((1, 0), "0"), ((-2, 1), "-2"), (BOUND, str(BOUND))])
def test_pairs_out_of_range(value, wrong):
    with pytest.raises(ValueError, match=f"stride must be from 1 to {BOUND - 1}, got {wrong}$"):
        as_pair(value, "stride", least=1)


@pytest.mark.parametrize(
    ("value", "sides"),
    [
        (1, ((1, 1), (1, 1))),
        ((1,), ((1, 1), (1, 1))),
        ((1, 2), ((1, 1), (2, 2))),
        (((1, 2), (3, 4)), ((1, 2), (3, 4))),
        ([[1, 2], [3, 4]], ((1, 2), (3, 4))),
        (np.array([[1, 2], [3, 4]]), ((1, 2), (3, 4))),
        ("valid", ((0, 0), (0, 0))),
        ("full", ((4, 4), (3, 3))),
        ("same", ((2, 2), (1, 1))),
    ],
)
def test_padding(value, sides):
    assert pads(value) == sides


FORMS = "an integer, (height, width), ((top, bottom), (left, right)), 'valid', 'same' or 'full'"


@pytest.mark.parametrize("value", ["mirror", "", "reflect", "1"])
def test_unknown_names_of_padding(value):
    with pytest.raises(ValueError) as caught:
        pads(value)
    message = str(caught.value)
    assert message == f"padding must be {FORMS}; got {value!r}"


@pytest.mark.parametrize(
    "value",
    [
        ((1, 2), 3),
        (1, (2, 3)),
        ((1, 2, 3), (4, 5)),
        ((1, 2),),
        ((1, 2), (3,)),
        ((1, 2), (3, 4), (5, 6)),
        ((), ()),
    ],
    ids=repr,
)
def test_four_sides_of_the_wrong_shape(value):
    with pytest.raises(ValueError) as caught:
        pads(value)
    assert str(caught.value) == f"padding must be {FORMS}; got {value!r}"


def test_four_numbers_in_a_row_are_no_padding():
    with pytest.raises(ValueError, match=r"padding must be one integer or two .*got \(1, 2, 3, 4\)"):
        pads((1, 2, 3, 4))


@pytest.mark.parametrize(
    ("value", "wrong"), [(-1, "-1"), ((0, -2), "-2"), (((0, 1), (-3, 0)), "-3"), (BOUND, str(BOUND))]
)
def test_padding_out_of_range(value, wrong):
    with pytest.raises(ValueError, match=f"padding must be from 0 to {BOUND - 1}, got {wrong}$"):
        pads(value)


@pytest.mark.parametrize(
    "value",
    [0.5, None, (1, "2"), ((0, 1), (2, 1.5)), b"same", bytearray(b"12"), np.array([0.5, 1])],
    ids=repr,
)
def test_padding_of_the_wrong_type(value):
    with pytest.raises(TypeError) as caught:
        pads(value)
    assert str(caught.value) == f"padding must be {FORMS}; got {value!r}"


extents = st.tuples(*[st.integers(0, 40)] * 2)
taps = st.tuples(*[st.integers(1, 9)] * 2)
steps = st.tuples(*[st.integers(1, 7)] * 2)


@given(st.sampled_from(("valid", "same", "full")), extents, taps, steps, steps)
def test_named_padding(name, size, kernel, stride, dilation):
    sides = as_pads(name, size, kernel, stride, dilation)
    assert sides == reference.padding_sides(name, size, kernel, stride, dilation)


@given(extents, taps, steps, steps)
def test_same_gives_one_output_per_stride(size, kernel, stride, dilation):
    sides = as_pads("same", size, kernel, stride, dilation)
    shape = reference.output_shape(size, kernel, stride, sides, dilation)
    assert shape == tuple(-(-extent // step) for extent, step in zip(size, stride, strict=True))
    assert all(0 <= after - before <= 1 for before, after in sides)
