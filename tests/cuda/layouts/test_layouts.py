"""Every algorithm of the CUDA engine, in every layout that breaks one condition of its plan."""

import pytest

from gpuconv import cuda as engine
from tests.cuda.layouts.cases import CASES
from tests.cuda.layouts.trials import refused

SHORT = "depthwise, columns of y"  # which comes first: a bare `pytest` runs no other
TRIED = sorted(
    (
        pytest.param(algorithm, case, id=f"{algorithm.name}, {case}")
        for room, cases in CASES.items()
        for case in cases
        for algorithm in engine.ALGORITHMS[room]
        if algorithm.name in case.algorithms
    ),
    key=lambda each: each.values[1].name != SHORT,
)
SIDES = "the columns of the input do not lie side by side"
WINDOW = "the taps of a window lie 2^31 elements or more from each other"
ROWS = "2^31 elements or more lie between neighbouring rows or columns"
FAR_CHANNELS = {  # of few channels, which it rounds up; of many it takes the last
    "x, channels beyond 2^32 elements", "x, channels within 2^31 elements", "x, rows beyond 2^32 elements",
}  # fmt: skip
GEMMS = "conv_implicit_gemm", "conv_implicit_gemm_tf32", "conv_implicit_gemm_3xtf32"
REFUSED = {
    ("conv_winograd", SIDES): {"x, columns apart", "x, channels last"},
    **{(name, WINDOW): FAR_CHANNELS for name in GEMMS},
    ("pool_separable", ROWS): {f"{array}, rows beyond 2^32 elements" for array in "xy"},
    ("bias_at_once", "the rows of a plane do not follow each other"): {
        "x, rows on 16 bytes", "x, rows on 8 bytes", "x, rows an odd number apart",
        "x, rows beyond 2^32 elements", "x, rows within 2^31 elements",
    },
}  # fmt: skip


@pytest.mark.parametrize(("algorithm", "case"), TRIED)
def test_integers_are_exact_in_every_layout(algorithm, case):
    """Nothing between what belongs to a result is written; what is not taken is refused, with the reason."""
    found = refused(algorithm, [case])
    for layout, reason in found.items():
        assert layout in REFUSED[algorithm.name, reason]


def test_every_algorithm_is_tried():
    tried = {each.values[0].name for each in TRIED}
    named = {name for cases in CASES.values() for case in cases for name in case.algorithms}
    assert tried == named == {each.name for room in engine.ALGORITHMS.values() for each in room}
