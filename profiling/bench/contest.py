"""One layer's contest: every algorithm and peer on the same arrays, checked, then timed."""

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from gpuconv.algorithm import refusal, select
from gpuconv.call import forced, understand
from gpuconv.spec import Spec
from profiling.bench import peers, reference
from profiling.bench.rows import Chosen, against, row
from profiling.device import Call
from profiling.results import Row, significant
from profiling.workloads import Layer, Workload, has_precision, public_call


def ceilings(engine: ModuleType, dtype: str, thread_counts: Sequence[int | None]) -> list[dict[str, Any]]:
    """For each number of threads, the most arithmetic and the fastest copies that this process can do."""
    found = []
    for threads in thread_counts:
        copies = engine.copy_gbytes_s(threads)
        found.append(
            {"threads": threads, "gflops": significant(engine.peak_gflops(dtype, threads)),
             "copy_gbytes_s": {size: significant(speed) for size, speed in copies.items()}}
        )  # fmt: skip
    return found


def rows(
    engine: ModuleType, options: Namespace, workload: Workload, layer: Layer, arrays: tuple,
    ceiling: dict[str, Any],
) -> Iterator[Row]:  # fmt: skip
    """The rows of one layer on so many threads: one for each algorithm and peer."""
    if ceiling["threads"] is not None:
        peers.use_threads(ceiling["threads"])
    spec = layer.spec
    if not reference.can_check(spec):
        print(f"{layer.label}: left out, for it takes PyTorch to check it", file=sys.stderr)
        return
    placed = tuple(map(engine.place, arrays))
    algorithms, best, with_ieee = candidates(spec, placed, options.algorithm)
    if not algorithms:
        return
    calls = contestants(options.device, spec, placed, algorithms)
    errors = check(engine, spec, arrays, calls)
    for name, error in errors.items():
        if not error.greatest <= reference.TOLERANCE[spec.dtype]:
            print(f"{name} is wrong on {layer.label}: error {error.greatest:.1e}, not timed", file=sys.stderr)
            del calls[name]
    clock = engine.host_times if workload.host_clock else engine.times
    timings = dict(zip(calls, clock([*calls.values()], options.repeats, options.seconds), strict=True))
    others = [name for name in timings if name not in algorithms]
    for name in algorithms:
        chosen = Chosen(name == best, name == with_ieee)
        ours = row(workload, layer, name, chosen, timings.get(name), errors[name], ceiling)
        for peer in others or [None]:
            yield ours | against(peer, timings.get(peer), errors.get(peer))


def contestants(
    device: str, spec: Spec, arrays: tuple[Any, ...], algorithms: Sequence[str]
) -> dict[str, Call]:
    """The calls by name: our algorithms, then each peer that can compute `spec`."""
    ours = public_call(spec, arrays)
    calls: dict[str, Call] = {
        name: forced(ours.func, name, *ours.args, **ours.keywords) for name in algorithms
    }
    for peer in peers.installed(device):
        call = peer.prepare(spec, arrays)
        if call is not None:
            calls[peer.name] = call
    return calls


def candidates(spec: Spec, arrays: tuple[Any, ...], wanted: str) -> tuple[list[str], str, str]:
    """(the algorithms that can run `spec` on these arrays, the selected one, that with "ieee"), by name.

    All of them, or with `wanted` the "selected" ones, or the one of that name.
    """
    public = public_call(spec, arrays)
    call = understand(public.func, *public.args, **public.keywords)
    problem, best = (call.spec, call.layouts, call.device), call.algorithm.name
    ieee = replace(spec, precision="ieee") if has_precision(spec) else spec
    with_ieee = select(call.algorithms, ieee, *problem[1:]).name
    names = [each.name for each in call.algorithms if refusal(each, *problem) is None]
    only = {best, with_ieee} if wanted == "selected" else {wanted}
    return (names if wanted == "all" else [name for name in names if name in only]), best, with_ieee


def check(
    engine: ModuleType, spec: Spec, arrays: tuple, calls: dict[str, Call]
) -> dict[str, reference.Error]:
    """The error of each call's result, of maxima without their indices.

    Other libraries' image filters return a plane, here a batch of 1.
    """
    results = [call() for call in calls.values()]
    results = [engine.fetch(result[0] if isinstance(result, tuple) else result) for result in results]
    results = [result.reshape(spec.out_shape) if result.ndim == 2 else result for result in results]
    return dict(zip(calls, reference.errors(spec, arrays, results), strict=True))
