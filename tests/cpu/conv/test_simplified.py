"""Problems seen simpler, and in regions: the same sums by every algorithm, and zeros that are multiplied."""

import numpy as np
import pytest

import gpuconv
from gpuconv.cpu.conv import SUMS
from gpuconv.cpu.conv.regions import regions_of
from gpuconv.spec.trimming import trimmed
from tests.cases import ConvCase, integers

CASES = [
    ConvCase("a column", (2, 3, 40, 1), (4, 3, 5, 1), padding=(2, 0), bias=True),
    ConvCase("a column, taps beside it", (2, 3, 40, 1), (4, 3, 5, 3), padding=(2, 1)),
    ConvCase("one tap of many", (2, 3, 40, 3), (4, 3, 5, 37), padding=(2, 72), dilation=(1, 4), bias=True),
    ConvCase("one row of seven", (2, 6, 1, 70), (6, 1, 7, 3), padding=(3, 1), groups=6),
    ConvCase("no tap", (2, 6, 2, 17), (8, 6, 2, 9), padding=(2, 8), dilation=(4, 2), bias=True),
    ConvCase("1x1", (2, 6, 20, 17), (8, 6, 1, 1), bias=True),
    ConvCase("rows that are not read", (3, 6, 33, 17), (8, 6, 3, 2), padding=(2, 1), dilation=4, stride=4),
    ConvCase("regions", (2, 6, 28, 28), (8, 6, 3, 3), padding=24, dilation=24, bias=True),
    ConvCase("many regions", (2, 6, 9, 35), (8, 6, 30, 16), padding=(26, 7), stride=(3, 2)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_compute_the_same_and_multiply_zeros(case):
    x, w, bias = case.arrays("float32", integers)
    expected = case.expected(x, w, bias)
    spoilt = w.copy()
    spoilt[0, 0, 0, 0] = spoilt[-1, -1, -1, -1] = np.inf
    told = gpuconv.explain(gpuconv.conv2d, x, w, bias, **case.parameters)
    able = [name for name, verdict in told if not verdict.startswith("unsupported")]
    padded = np.pad(x, ((0, 0), (0, 0), *case.spec().pads))
    parameters = {**case.parameters, "padding": 0}
    finite = np.isfinite(gpuconv.conv2d(padded, spoilt, bias, **parameters, algorithm="conv_direct"))
    assert len(able) >= 4
    for name in able:
        y = gpuconv.conv2d(x, w, bias, **case.parameters, algorithm=name)
        np.testing.assert_array_equal(y, expected)
        y = gpuconv.conv2d(x, spoilt, bias, **case.parameters, algorithm=name)
        np.testing.assert_array_equal(np.isfinite(y), finite)


def test_what_is_left_of_them():
    specs = {str(case): case.spec() for case in CASES}
    few = trimmed(specs["one tap of many"])
    assert (few.spec.R, few.spec.S) == (5, 1) and trimmed(specs["no tap"]).spec.C == 0
    assert trimmed(specs["a column"]) is None
    regions, share = regions_of(specs["regions"])
    assert len(regions) == 9 and share < 0.2
    assert sum(each.spec.P * each.spec.Q for each in regions) == 28 * 28


def test_explain_says_how_a_problem_is_seen():
    x, w, _ = CASES[0].arrays("float32", integers)
    said = gpuconv.explain(gpuconv.conv2d, x, w, padding=(2, 0), algorithm="conv_small")[0][1]
    assert "seen as 1x5 on images of 1x40" in said
    assert {"conv_dots", "conv_regions"} <= {algorithm.name for algorithm in SUMS}
