"""How long one of each thing takes that a convolution of the CPU engine counts: the rates of its cost model.

    python -m profiling.rates --count 500 --seed 3 --times times.json

Every algorithm is timed on convolutions drawn at random, half of them channels-last, on one thread. Its rates
are those whose predictions differ least from the times, by the squares of the logarithms, and little from
those in force where the problems do not tell. They are printed as `gpuconv/cpu/engine/rates.py` has them,
beside what the choice by the old and by the new ones loses. Nothing else should run meanwhile. What was
timed is kept in the file, and not timed again where there is one: to count something else and fit anew.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gpuconv
from gpuconv.algorithm import Algorithm
from gpuconv.call import forced, understand
from gpuconv.cpu.conv import SUMS
from gpuconv.cpu.engine.cost import RATES
from gpuconv.spec import ConvSpec
from profiling.progress import progress
from profiling.workloads.drawn import MOST_FLOPS, drawn
from profiling.workloads.layers import Layer, describe
from profiling.workloads.operands import operands_of, public_call

ROUNDS, SECONDS = 7, 0.4  # of the contestants of a problem
LONGER, SHORT = (
    6,
    1e-3,
)  # an algorithm that is predicted to take so many times the least, and so long, is left out
STEPS, TRUST = 40, 0.05  # of the fit; how strongly it is held to the rates in force
FAR = 0.7  # the logarithm of measured over predicted beyond which a problem counts for less
EXTENTS = (1, 32, 32, 4), (16, 512, 512, 64)  # N, C, K and H = W of a network's layer: least and most
COMPOSED = "conv_relaid"  # which leaves the convolution to another, whose rates are fitted first
Key = tuple[str, str]  # an algorithm, or its way; and what is counted


class Timed(NamedTuple):
    """An algorithm on a problem: seconds, how many of each it counts, and seconds that others account for."""

    problem: int
    name: str
    taken: float
    counted: dict[Key, float]
    beside: float

    def predicted(self, rates: dict[Key, float]) -> float:
        return self.beside + 1e-9 * sum(rates[key] * number for key, number in self.counted.items())


def networks(count: int, seed: int) -> list[Layer]:
    """3x3 layers as networks have them, which are seldom drawn, and which Winograd's algorithm serves."""
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    while len(layers) < count:
        N, C, K, H = (int(each) for each in np.exp(rng.uniform(*np.log(EXTENTS))))
        spec = ConvSpec(N, C, H, H, K, 3, 3, ((1, 1), (1, 1)))
        if spec.flops <= MOST_FLOPS:
            layers.append(Layer(describe(spec), spec))
    return layers


def times_of(layers: Sequence[Layer]) -> Iterator[dict[str, float]]:
    """Of each layer the seconds of each algorithm that can run it, and is not predicted to be far behind."""
    with progress(len(layers)) as begin:
        for layer in layers:
            begin(layer.label)
            public = public_call(layer.spec, operands_of(layer))
            problem = _problem(layer)
            costs = {each.name: each.cost(*problem) for each in _able(problem) if each.cost}
            most = max(SHORT, LONGER * min(costs.values()))
            yield _fastest(
                {
                    name: forced(public.func, name, *public.args, **public.keywords)
                    for name, cost in costs.items()
                    if cost <= most
                }
            )


def _problem(layer: Layer) -> tuple[Any, Any, Any]:
    public = public_call(layer.spec, operands_of(layer))
    call = understand(public.func, *public.args, **public.keywords)
    return call.spec, call.layouts, call.device


def _able(problem: tuple[Any, Any, Any]) -> list[Algorithm]:
    return [each for each in SUMS if each.cost and each.worth(*problem) and not each.unsupported(*problem)]


def beside_counts(layers: Sequence[Layer], times: Iterable[dict[str, float]]) -> Iterator[Timed]:
    """What was timed, and what each algorithm counts of it."""
    for number, (layer, seconds) in enumerate(zip(layers, times, strict=True)):
        problem = _problem(layer)
        for each in _able(problem):
            if each.name in seconds:
                yield Timed(number, each.name, seconds[each.name], *_counted(each, problem))


def _fastest(calls: dict[str, Any]) -> dict[str, float]:
    """Seconds of each, the least of some rounds in turn; short ones are called many times in each."""
    seconds: dict[str, float] = {}
    out = {name: call() for name, call in calls.items()}
    for name, call in calls.items():
        call(out=out[name])
    begin = time.perf_counter()
    for number in range(ROUNDS):
        for name, call in calls.items():
            again = max(1, int(SHORT / 4 / seconds.get(name, SHORT)))
            started = time.perf_counter()
            for _ in range(again):
                call(out=out[name])
            taken = (time.perf_counter() - started) / again
            seconds[name] = min(seconds.get(name, taken), taken)
        if number >= 2 and time.perf_counter() - begin > SECONDS:
            break
    return seconds


def _counted(algorithm: Algorithm, problem: tuple[Any, Any, Any]) -> tuple[dict[Key, float], float]:
    """How many it counts of each, found by leaving all others out; and the seconds without any."""
    assert algorithm.cost is not None
    own = {name: rates for name, rates in RATES.items() if name.split(",")[0] == algorithm.name}
    in_force = {name: dict(rates) for name, rates in own.items()}
    for rates in own.values():
        rates.update(dict.fromkeys(rates, 0.0))
    beside = algorithm.cost(*problem)
    counted = {}
    for name, rates in own.items():
        for what in rates:
            rates[what] = 1.0
            counted[name, what] = 1e9 * (algorithm.cost(*problem) - beside)
            rates[what] = 0.0
    for name, rates in own.items():
        rates.update(in_force[name])
    return {key: number for key, number in counted.items() if number > 1e-3}, beside


def fitted(times: Sequence[Timed]) -> dict[Key, float]:
    """Nanoseconds of each thing counted, by which one algorithm's predictions differ least from its times."""
    keys = sorted({key for each in times for key in each.counted})
    start = np.log([RATES[name][what] for name, what in keys])
    numbers = np.array([[each.counted.get(key, 0.0) for key in keys] for each in times])
    beside, taken = np.array([(each.beside, each.taken) for each in times]).T
    held = TRUST * np.sqrt(len(times))
    logs = start.copy()
    for _ in range(STEPS):  # Gauss-Newton, of the logarithms of the rates, so that none becomes negative
        shares = 1e-9 * numbers * np.exp(logs)
        predicted = shares.sum(1) + beside
        errors = np.log(taken / predicted)
        trusted = np.minimum(1.0, FAR / np.maximum(np.abs(errors), 1e-9)) ** 0.5  # Huber's weights
        slopes = np.vstack([trusted[:, None] * shares / predicted[:, None], held * np.eye(len(keys))])
        errors = np.concatenate([trusted * errors, held * (start - logs)])
        logs += np.clip(np.linalg.lstsq(slopes, errors, rcond=None)[0], -0.5, 0.5)
    return dict(zip(keys, np.exp(logs).tolist(), strict=True))


def lost(times: Sequence[Timed], rates: dict[Key, float]) -> np.ndarray:
    """How many times the fastest's time the chosen takes, problem by problem."""
    problems: dict[int, list[tuple[float, float]]] = {}
    for each in times:
        problems.setdefault(each.problem, []).append((each.predicted(rates), each.taken))
    return np.array([min(some)[1] / min(taken for _, taken in some) for some in problems.values()])


def main() -> None:
    names = sorted({name.split(",")[0] for name in RATES})
    parser = argparse.ArgumentParser(prog="python -m profiling.rates", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="problems, 500")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=Path, help="JSON file that keeps what was timed")
    parser.add_argument("--algorithm", choices=names, action="append", help="fit its rates alone")
    arguments = parser.parse_args()
    gpuconv.set_num_threads(1)
    convolutions = [
        each for each in drawn(arguments.count, arguments.seed).layers if isinstance(each.spec, ConvSpec)
    ]
    convolutions += networks(arguments.count // 8, arguments.seed)
    layers = [replace(each, channels_last=number % 2 == 1) for number, each in enumerate(convolutions)]
    if arguments.times and arguments.times.exists():
        seconds = json.loads(arguments.times.read_text())
    else:
        seconds = list(times_of(layers))
        if arguments.times:
            arguments.times.write_text(json.dumps(seconds))
    times = list(beside_counts(layers, seconds))
    _tell("in force", times)
    for name in sorted(arguments.algorithm or names, key=COMPOSED.__eq__):  # what is composed comes last
        if name == COMPOSED:
            times = list(beside_counts(layers, seconds))
        own = [each for each in times if each.name == name and each.counted]
        for (way, what), rate in fitted(own).items() if own else ():
            RATES[way][what] = float(f"{rate:.2g}")
    for name, rates in RATES.items():
        line = ", ".join(f'"{what}": {rate:g}' for what, rate in rates.items())
        print(f'"{name}": {{{line}}},')
    _tell("fitted", list(beside_counts(layers, seconds)))


def _tell(which: str, times: Sequence[Timed]) -> None:
    """How far the rates that are in force now are from the times, and what the choice by them loses."""
    rates = {(name, what): rate for name, rates in RATES.items() for what, rate in rates.items()}
    for name in sorted({each.name for each in times}):
        own = [each for each in times if each.name == name]
        print(f"{name:25} measured over predicted by the rates {which}: {_spread(own, rates)}, of {len(own)}")
    worse = lost(times, rates)
    print(
        f"rates {which}: the choice takes {np.exp(np.log(worse).mean()):.3f} times the fastest, "
        f"in one of twenty {np.quantile(worse, 0.95):.2f} or more, at worst {worse.max():.2f}"
    )


def _spread(times: Sequence[Timed], rates: dict[Key, float]) -> str:
    ratios = np.log([each.taken / each.predicted(rates) for each in times])
    return f"{np.exp(np.median(ratios)):.2f} (times or by {np.exp(np.std(ratios)):.2f})"


if __name__ == "__main__":
    main()
