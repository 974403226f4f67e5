"""Which algorithm is taken: from a list of stand-ins that say what they can and what they are good at."""

from dataclasses import replace

import pytest

from gpuconv import cpu
from gpuconv.algorithm import Algorithm, explain, select
from gpuconv.spec import ConvSpec

SPEC = ConvSpec(N=1, C=1, H=4, W=4, K=1, R=3, S=3)


def stand_in(name, unsupported=None, worth=True):
    return Algorithm(name, lambda spec: unsupported, lambda spec: worth, lambda spec, *arrays: None)


FAST = stand_in("fast")
SLOW = stand_in("slow", worth=False)
SLOWER = stand_in("slower", worth=False)
BROKEN = stand_in("broken", unsupported="stride is not 1")


@pytest.mark.parametrize(
    ("algorithms", "chosen"),
    [
        ((FAST, SLOW), FAST),
        ((SLOW, FAST), FAST),
        ((BROKEN, FAST), FAST),
        ((SLOW, SLOWER), SLOW),
        ((BROKEN, SLOW, SLOWER), SLOW),
    ],
)
def test_the_first_supported_and_worthwhile_else_the_first_supported(algorithms, chosen):
    assert select(algorithms, SPEC) is chosen


def test_none_that_can():
    with pytest.raises(ValueError, match="no algorithm can run this problem: broken: stride is not 1"):
        select((BROKEN,), SPEC)


def test_one_by_name_although_it_is_not_worthwhile():
    assert select((FAST, SLOW), SPEC, "slow") is SLOW


def test_one_by_name_that_cannot():
    with pytest.raises(ValueError, match="algorithm 'broken' cannot run this problem: stride is not 1"):
        select((FAST, BROKEN), SPEC, "broken")


@pytest.mark.parametrize("name", ["winograd", "", "FAST"])
def test_an_unknown_name(name):
    with pytest.raises(ValueError) as caught:
        select((FAST, SLOW), SPEC, name)
    assert str(caught.value) == f"algorithm must be None or one of fast, slow; got {name!r}"


def test_explain_tells_what_an_algorithm_is_for():
    told = replace(FAST, name="told", fast_for="odd kernels, 9 GFLOP/s")
    narrow = replace(SLOW, name="narrow", fast_for="even kernels")
    assert explain((narrow, told), SPEC) == [
        ("told", "selected: for odd kernels, 9 GFLOP/s"),
        ("narrow", "supported, not worthwhile here: for even kernels"),
    ]


def test_explain_puts_the_chosen_one_first_and_gives_each_a_reason():
    later = stand_in("later")
    assert explain((BROKEN, SLOW, FAST, later), SPEC) == [
        ("fast", "selected"),
        ("broken", "unsupported: stride is not 1"),
        ("slow", "supported, not worthwhile here"),
        ("later", "supported, comes later in the list"),
    ]


@pytest.mark.parametrize("algorithms", [cpu.CONVOLUTIONS, cpu.POOLS], ids=["convolutions", "pools"])
def test_the_cpu_lists(algorithms):
    names = [algorithm.name for algorithm in algorithms]
    assert len(set(names)) == len(names) > 0
    assert all(name.isidentifier() for name in names)
