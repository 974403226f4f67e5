"""The last block of a grid whose results are more than 2^32 elements."""

import pytest

from gpuconv import cuda as engine
from tests.cuda.layouts.ends import ENDS, run_last_block

TRIED = [
    pytest.param(algorithm, problem, id=f"{algorithm.name} {number}")
    for room, cases in ENDS.items()
    for number, (names, problem) in enumerate(cases)
    for algorithm in engine.ALGORITHMS[room]
    if algorithm.name in names
]


@pytest.mark.parametrize(("algorithm", "make"), TRIED)
def test_the_last_block_of_more_than_2_to_the_32_results(algorithm, make):
    run_last_block(algorithm, make)
