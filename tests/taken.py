"""Which algorithms take which cases, so that tests iterate over what is taken and nothing is skipped."""

import pytest

import gpuconv
from gpuconv import cpu
from gpuconv.algorithm import AllBut, refusal
from gpuconv.call import understand
from tests.cases import ConvCase, zeros

FUNCTIONS = {"max": gpuconv.max_pool2d, "avg": gpuconv.avg_pool2d}
BY_NAME = {(room, each.name): each for room, algorithms in cpu.ALGORITHMS.items() for each in algorithms}


def taking(room, dtype):
    """The names of the CPU's algorithms of a room that take a dtype, and need no epilogue."""
    listed = [each for each in cpu.ALGORITHMS[room] if dtype in each.takes["dtype"]]
    return [each.name for each in listed if not isinstance(each.takes.get("epilogue"), AllBut)]


def function_of(case):
    return gpuconv.conv2d if isinstance(case, ConvCase) else FUNCTIONS[case.op]


def reason(function, algorithm, arrays, **parameters):
    """Why the algorithm of that name refuses a call on the CPU, or None."""
    call = understand(function, *arrays, **parameters)
    return refusal(BY_NAME[call.operator.room, algorithm], call.spec, call.layouts, call.device)


def refusals(cases, dtypes, **keywords):
    """(case, dtype, algorithm, reason or None) of each combination."""
    for case in cases:
        room = "conv" if isinstance(case, ConvCase) else "pool"
        for dtype in dtypes:
            arrays = case.arrays(dtype, zeros) if room == "conv" else (zeros(case.x, dtype),)
            call = understand(function_of(case), *arrays, **case.parameters, **keywords)
            for algorithm in cpu.ALGORITHMS[room]:
                why = refusal(algorithm, call.spec, call.layouts, call.device)
                yield case, dtype, algorithm.name, why


def over_taken(cases, dtypes, **keywords):
    """Parametrize by `case`, `dtype` and `algorithm`, over those that are taken."""
    taken = [(case, dtype, name) for case, dtype, name, why in refusals(cases, dtypes, **keywords) if not why]
    return pytest.mark.parametrize(
        ("case", "dtype", "algorithm"),
        [pytest.param(*each, id=f"{each[0]}-{each[2]}-{each[1]}") for each in taken],
    )


def check_refusals(algorithm, cases, dtypes, **keywords):
    """Each call that the algorithm refuses is an error that says why."""
    for case, dtype, name, why in refusals(cases, dtypes, **keywords):
        if name == algorithm and why:
            arrays = case.arrays(dtype, zeros) if isinstance(case, ConvCase) else (zeros(case.x, dtype),)
            with pytest.raises(ValueError) as caught:
                function_of(case)(*arrays, **case.parameters, **keywords, algorithm=algorithm)
            assert str(caught.value) == f"algorithm {algorithm!r} cannot run this problem: {why}"
