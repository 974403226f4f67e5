"""What is remembered of a call, and what is asked anew."""

import numpy as np
import pytest

from gpuconv.remembered import CALLS, remembered


@pytest.fixture
def asked():
    """A remembered function, and the calls that reached it."""
    calls = []

    @remembered
    def double(key, *parameters):
        calls.append((key, *parameters))
        if parameters[0] == "wrong":
            raise ValueError("wrong")
        return [key, *parameters]

    return double, calls


@pytest.mark.parametrize("parameter", [1, True, None, "same", (1, 2), ((0, 1), (2, 3)), ()], ids=repr)
def test_the_same_plain_arguments_are_asked_once(asked, parameter):
    double, calls = asked
    first = double(("key", 1), parameter, 5)
    assert double(("key", 1), parameter, 5) is first
    assert len(calls) == 1
    assert double(("key", 2), parameter, 5) == [("key", 2), parameter, 5]


@pytest.mark.parametrize("one", [1.0, True, np.int64(1), np.float32(1)], ids=repr)
def test_what_is_equal_is_not_the_same(asked, one):
    double, calls = asked
    for parameter in (1, one, (1, 1), (1, one), ((1, 1), (one, 1))):
        double("key", parameter)
    types = [type(call[1]) for call in calls]
    assert types == [int, type(one), tuple, tuple, tuple]


@pytest.mark.parametrize("parameter", [[1, 2], {"a": 1}, (1, [2]), np.arange(3), 2.5], ids=repr)
def test_other_arguments_are_asked_each_time(asked, parameter):
    double, calls = asked
    for _ in range(2):
        assert double("key", 1, parameter)[2] is parameter
    assert len(calls) == 2


def test_an_error_is_raised_each_time(asked):
    double, calls = asked
    for _ in range(2):
        with pytest.raises(ValueError, match="wrong"):
            double("key", "wrong")
    assert len(calls) == 2


def test_a_bounded_number_is_kept_and_all_can_be_forgotten(asked):
    double, calls = asked
    for key in range(CALLS + 1):
        double(key, 1)
    double(0, 1)
    assert len(calls) == CALLS + 2
    double.forget()
    double(CALLS, 1)
    assert len(calls) == CALLS + 3
