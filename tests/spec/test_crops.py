"""Crops: what some outputs need, by themselves; what they compute is tested where they are blocks."""

from itertools import product

import pytest

from gpuconv.spec import INPUT_GRADIENT, ConvSpec, PoolSpec
from gpuconv.spec.crops import crop_axis, cut_axis, middles, parts_of
from tests import reference

GEOMETRIES = list(product((1, 3, 7), (1, 2, 3), (1, 2, 5), (1, 3), (0, 2)))


def spread(size, taps, stride, dilation, pad):
    """Rows of a transposed convolution, with all of those behind that none reaches."""
    return (size - 1) * stride + dilation * (taps - 1) + 1 - 2 * pad + stride - 1


TRANSPOSED = [each for each in GEOMETRIES if spread(*each) > 0]
FORWARD = [each for each in GEOMETRIES if each[0] + 2 * each[4] > each[3] * (each[1] - 1)]


@pytest.mark.parametrize(("size", "taps", "stride", "dilation", "pad"), TRANSPOSED)
def test_every_part_of_a_transposed_convolution_is_a_problem_of_its_own(size, taps, stride, dilation, pad):
    H = spread(size, taps, stride, dilation, pad)
    spec = ConvSpec(
        1, 1, H, 1, 1, taps, 1, pads=((pad, pad - stride + 1), (0, 0)), stride=(stride, 1),
        dilation=(dilation, 1), direction=INPUT_GRADIENT,
    )  # fmt: skip
    assert size == spec.P
    column = crop_axis(spec, 1, (0, 1))
    for first, last in product(range(H), range(1, H + 1)):
        if first < last:
            rows = crop_axis(spec, 0, (first, last))
            ((low, high),) = rows.inputs
            (part,) = parts_of(spec, rows, column)
            assert (last - first, high - low) == (part.spec.H, part.spec.P)
            assert part.spec.pads[0][0] >= 0 and 0 <= low < high <= size
            reached = [
                p for p in range(size)
                for r in range(taps) if first <= p * stride + r * dilation - pad < last
            ]  # fmt: skip
            assert not reached or (low <= min(reached) and max(reached) < high)


@pytest.mark.parametrize(("size", "taps", "stride", "dilation", "pad"), FORWARD)
def test_every_part_of_a_convolution_sees_what_it_needs_and_no_more(size, taps, stride, dilation, pad):
    reach = dilation * (taps - 1) + 1
    spec = ConvSpec(
        1, 1, size, 1, 1, taps, 1, pads=((pad, pad), (0, 0)), stride=(stride, 1), dilation=(dilation, 1)
    )
    for first, last in product(range(spec.P), range(1, spec.P + 1)):
        if first < last:
            rows = crop_axis(spec, 0, (first, last))
            begin, end = first * stride - pad, (last - 1) * stride - pad + reach
            ((low, high),) = rows.inputs
            assert [*range(low, high)] == [h for h in range(begin, end) if 0 <= h < size]
            (part,) = parts_of(spec, rows, crop_axis(spec, 1, (0, 1)))
            assert last - first == part.spec.P and min(part.spec.pads[0]) >= 0


@pytest.mark.parametrize("size", [(3, 4), (7, 5), (8, 8), (1, 1), (13, 3)])
def test_windows_of_an_adaptive_pool_are_a_few_kinds_of_regular_ones(size):
    spec = PoolSpec("mean", 1, 1, 8, 12, 1, 1, windows="adaptive", output_size=size)
    windows = {place: taps for place, taps, _ in reference.adaptive_windows((8, 12), size)}
    found = {}
    for part in parts_of(spec, crop_axis(spec, 0, (0, size[0])), crop_axis(spec, 1, (0, size[1]))):
        each = part.spec
        outputs = product(range(size[0])[part.outputs[0]], range(size[1])[part.outputs[1]])
        for (i, j), place in zip(product(range(each.P), range(each.Q)), outputs, strict=True):
            h, w = part.inputs[0].start + i * each.stride[0], part.inputs[1].start + j * each.stride[1]
            found[place] = [(h + r, w + s) for r in range(each.R) for s in range(each.S)]
    assert found == windows


def test_cuts_are_in_the_middle_of_what_windows_see():
    spec = ConvSpec(1, 1, 30, 30, 1, 5, 5, pads=((2, 2), (0, 0)))
    assert cut_axis(spec, 0, [0, 10, 20, 30]) == [0, 10, 20, 30]
    assert cut_axis(spec, 1, [0, 10, 20, 30]) == [0, 8, 18, 26]
    assert cut_axis(spec, 0, [0, 1, 2, 30]) == [0, 1, 2, 30]


def test_middles_that_two_outputs_would_share_are_none():
    spec = ConvSpec(1, 1, 6, 6, 1, 3, 3, pads=((2, 2), (1, 1)), stride=(1, 2))
    assert middles(spec, 0) is None
    assert middles(spec, 1).tolist() == [0, 2, 4]
