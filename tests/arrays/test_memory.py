"""Where elements lie: how far an array reaches, and whether two share memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuconv.arrays import NUMPY, Signature, extent, overlap


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-30, 30)), min_size=1, max_size=4))
def test_an_out_taken_for_injective_is(axes):
    """Where `is_injective` says yes, no two elements of 4 bytes share one."""
    shape, strides = zip(*axes, strict=True)
    start = sum(max(0, -step * (extent - 1)) for extent, step in axes)
    storage = np.zeros(2000, np.uint8)[start:]
    np.lib.stride_tricks.as_strided(storage[:4].view(np.float32), shape, strides)
    if extent(shape, strides, 4).is_injective:
        starts = np.zeros(1, int)
        for count, step in axes:
            starts = (starts[:, None] + step * np.arange(count)).ravel()
        gaps = np.diff(np.sort(starts))
        assert (gaps >= 4).all()


@given(st.permutations([2, 3, 4, 5]), st.lists(st.sampled_from([1, 2, -1]), min_size=4, max_size=4))
def test_every_slice_of_a_transposed_array_is_taken(order, steps):
    array = np.zeros([2, 3, 4, 5], np.float32).transpose(np.argsort(order))
    view = array[tuple(slice(None, None, step) for step in steps)]
    assert extent(view.shape, view.strides, 4).is_injective


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-30, 30)), min_size=1, max_size=4))
def test_an_extent_holds_all_elements_and_no_more(axes):
    shape, strides = zip(*axes, strict=True)
    starts = np.zeros(1, int)
    for count, step in axes:
        starts = (starts[:, None] + step * np.arange(count)).ravel()
    first, end, _, are_whole = extent(shape, strides, 4)
    assert (first, end) == ((starts.min(), starts.max() + 4) if starts.size else (0, 0))
    assert are_whole == all(start % 4 == 0 for start in starts)


@pytest.mark.parametrize("gap", [-1, 0, 1])
@pytest.mark.parametrize("step", [4, -4])
def test_arrays_on_a_gpu_side_by_side(gap, step):
    """Addresses that nobody reads."""
    one = Signature(NUMPY, (1, 1, 1, 8), (32, 32, 32, 4), np.dtype(np.float32), 0)
    other = one._replace(strides=(32, 32, 32, step))
    first, second = 4096, 4096 + 32 + 4 * gap - (0 if step > 0 else 7 * step)
    assert overlap(first, second, one, other) is overlap(second, first, other, one) is (gap < 0)
    assert not overlap(first, first, one, one._replace(shape=(0, 1, 1, 8)))


def test_what_takes_too_long_to_find_out_counts_as_shared():
    storage = np.zeros(10**6, np.float32)
    shape = (7, 11, 13, 17)
    views = [
        np.lib.stride_tricks.as_strided(storage[first:], shape, [4 * step for step in steps])
        for first, steps in ((0, (6007, 401, 29, 2)), (1, (5003, 307, 23, 2)))
    ]
    signatures = [Signature(NUMPY, shape, view.strides, view.dtype, None) for view in views]
    with pytest.raises(np.exceptions.TooHardError):
        np.shares_memory(*views, max_work=1)
    assert isinstance(overlap(*views, *signatures), bool)
