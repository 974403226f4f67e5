"""Which convolution is predicted to be the fastest."""

import pytest

from gpuconv.algorithm import explain, select
from gpuconv.cpu.conv import ALGORITHMS, SUMS
from gpuconv.cpu.engine.cost import cycles_of, steps_of
from gpuconv.cpu.simd import LANES, ROWS
from gpuconv.spec import ConvSpec
from tests.cpu.problems import problem

SAME = ((1, 1), (1, 1))
CLEAR = {  # whose best algorithm took less than two thirds of the time of the next, on an AMD EPYC (Zen 5)
    "LeNet": (ConvSpec(64, 6, 14, 14, 16, 5, 5), "conv_batch"),
    "few channels": (ConvSpec(1, 3, 224, 224, 64, 3, 3, SAME), "conv_small"),
    "many channels": (ConvSpec(8, 64, 56, 56, 64, 3, 3, SAME), "conv_winograd"),
    "many channels of small images": (ConvSpec(8, 512, 7, 7, 512, 3, 3, SAME), "conv_winograd"),
    "depthwise": (ConvSpec(8, 144, 56, 56, 144, 3, 3, SAME, groups=144), "conv_depthwise"),
    "large windows on small images": (
        ConvSpec(8, 768, 7, 7, 768, 7, 7, ((3, 3), (3, 3)), groups=768), "conv_depthwise_channels"
    ),
    "1x1": (ConvSpec(8, 256, 28, 28, 512, 1, 1), "conv_implicit_gemm"),
    "vectors": (ConvSpec(1, 2048, 1, 1, 1000, 1, 1), "conv_dots"),
    "many channels to few": (ConvSpec(1, 64, 128, 128, 3, 9, 9, ((4, 4), (4, 4))), "conv_small"),
}  # fmt: skip


@pytest.mark.skipif(LANES["float32"] < 16, reason="measured with vectors of 16")
@pytest.mark.parametrize("name", CLEAR)
def test_where_one_is_far_ahead_it_is_chosen(name):
    spec, expected = CLEAR[name]
    assert select(ALGORITHMS, *problem(spec)).name == expected


def test_each_sum_predicts_its_time_and_explain_tells_it():
    spec = ConvSpec(2, 4, 9, 9, 4, 3, 3, SAME, groups=4)
    worthwhile = [algorithm for algorithm in SUMS if algorithm.worth(*problem(spec))]
    assert len(worthwhile) > 5 and all(0 < algorithm.cost(*problem(spec)) < 1 for algorithm in worthwhile)
    told = dict(explain(SUMS, *problem(spec)))
    taken = [
        verdict for verdict in told.values() if "worthwhile" not in verdict and "unsupported" not in verdict
    ]
    assert taken and all("predicted to take" in verdict for verdict in taken)


def test_the_tiles_of_some_rows():
    assert steps_of(2 * ROWS + 3, 2) == (2 * cycles_of(ROWS, 2) + cycles_of(2, 2) + cycles_of(1, 2), 4)
