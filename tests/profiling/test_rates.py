"""How the rates of the CPU's cost model are fitted to measured times."""

import json
import sys

import numpy as np
import pytest

from gpuconv.cpu.engine.cost import RATES
from gpuconv.spec import ConvSpec
from profiling import rates
from profiling.workloads.layers import Layer

NAME = "conv_implicit_gemm"
TAPS = ((1, 1), (1, 1))


def test_times_that_rates_account_for_are_fitted():
    rng = np.random.default_rng(0)
    true = {(NAME, "call"): 9000.0, (NAME, "near"): 0.5, (NAME, "copied"): 4.0}
    times = []
    for problem in range(80):
        counted = {key: float(10 ** rng.uniform(2, 7)) for key in true} | {(NAME, "call"): 1.0}
        times.append(rates.Timed(problem, NAME, 0.0, counted, 1e-6))
    times = [each._replace(taken=each.predicted(true)) for each in times]
    times[3] = times[3]._replace(taken=times[3].taken * 50)  # one that was disturbed
    fitted = rates.fitted(times)
    assert fitted == {key: pytest.approx(rate, rel=0.15) for key, rate in true.items()}


def test_what_is_counted_is_what_the_cost_is_made_of():
    layer = Layer("3x3", ConvSpec(2, 8, 20, 20, 16, 3, 3, TAPS))
    in_force = {name: dict(own) for name, own in RATES.items()}
    seconds = {NAME: 1e-3, "conv_small": 2e-3}
    times = list(rates.beside_counts([layer], [seconds]))
    assert in_force == RATES
    assert [each.name for each in times] == ["conv_small", NAME]
    current = {(name, what): rate for name, own in RATES.items() for what, rate in own.items()}
    problem = rates._problem(layer)
    for each in times:
        (algorithm,) = (one for one in rates._able(problem) if one.name == each.name)
        assert each.predicted(current) == pytest.approx(algorithm.cost(*problem))


def test_a_choice_loses_what_the_fastest_takes_less():
    rate = {("a", "x"): 1.0, ("b", "x"): 1.0}
    times = [
        rates.Timed(0, "a", 3.0, {("a", "x"): 1.0}, 0.0), rates.Timed(0, "b", 2.0, {("b", "x"): 2.0}, 0.0),
        rates.Timed(1, "a", 1.0, {("a", "x"): 1.0}, 0.0), rates.Timed(1, "b", 5.0, {("b", "x"): 2.0}, 0.0),
    ]  # fmt: skip
    np.testing.assert_allclose(rates.lost(times, rate), [1.5, 1.0])


@pytest.mark.wide  # seconds
def test_the_command_keeps_times_and_prints_rates(tmp_path, monkeypatch, capsys):
    path = tmp_path / "times.json"
    monkeypatch.setattr(rates, "ROUNDS", 1)
    in_force = {name: dict(own) for name, own in RATES.items()}
    arguments = ["rates", "--count", "4", "--seed", "1", "--times", str(path), "--algorithm", NAME]
    monkeypatch.setattr(sys, "argv", arguments)
    try:
        for _ in range(2):  # the second time from the file
            rates.main()
            assert f'"{NAME}": {{"call": ' in capsys.readouterr().out
    finally:
        for name, own in in_force.items():
            RATES[name].update(own)
    assert all(taken > 0 for seconds in json.loads(path.read_text()) for taken in seconds.values())
