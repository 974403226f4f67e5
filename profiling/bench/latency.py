"""What a call costs the host: gpuconv with and without `out=`, beside PyTorch.

    python -m profiling.latency
    python -m profiling.latency --device cpu --calls 500 --out latency.json
    python -m profiling.latency --device idle

On a GPU each call is timed until it returns, its kernel queued and not waited for. The problems are so small
that the device keeps up; it is waited for, untimed, after every QUEUED calls. A row has the median and the
fastest call in microseconds, and the most bytes of Python objects that one call held at once. `idle` is a GPU
that does nothing (`profiling.device.idle`), for machines that have none.
"""

import argparse
import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import gpuconv
from gpuconv.spec import ConvSpec, Spec
from profiling import needs, results
from profiling.bench.peers import torch_call
from profiling.device import Call
from profiling.workloads import convolution, label, operands, operator, pool, public_call

QUEUED = 50  # far fewer than a stream's queue takes without blocking
WARM_UP = 20
PROBLEMS: tuple[Spec, ...] = (convolution(1, 8, 8, 8, 3), pool("max", 1, 8, 8, 2))


@dataclass(frozen=True, slots=True)
class Latency:
    """Host time of one call in microseconds, and bytes of Python objects."""

    median_us: float
    fastest_us: float
    python_bytes: int


def measure(call: Call, wait: Callable[[], Any], calls: int) -> Latency:
    """The latency of `call` over so many calls; `wait` returns when the device has done them."""
    for _ in range(WARM_UP):
        call()
    wait()
    times: list[int] = []
    gc.disable()
    try:
        while len(times) < calls:
            for _ in range(min(QUEUED, calls - len(times))):
                begin = time.perf_counter_ns()
                call()
                times.append(time.perf_counter_ns() - begin)
            wait()
    finally:
        gc.enable()
    return Latency(round(median(times) / 1e3, 3), round(min(times) / 1e3, 3), python_bytes(call))


def python_bytes(call: Call) -> int:
    """The most bytes of Python objects that a call holds at once, its result included."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def contestants(spec: Spec, place: Callable[[Any], Any], peers: bool = True) -> dict[str, Call]:
    """The calls by name, on the same arrays; with `peers` PyTorch's if it is installed."""
    arrays = tuple(map(place, operands(spec)))
    ours, name = public_call(spec, arrays), operator(spec)
    calls: dict[str, Call] = {f"gpuconv.{name}(out=)": partial(ours, out=ours()), f"gpuconv.{name}": ours}
    if isinstance(spec, ConvSpec):
        plan = gpuconv.plan_conv2d(*ours.args)
        calls["gpuconv.plan_conv2d()(out=)"] = partial(plan, *arrays, out=plan(*arrays))
    theirs = torch_call(spec, arrays) if peers and find_spec("torch") else None
    return calls | ({f"torch {name}": theirs} if theirs else {})


def waiting(device: str) -> Callable[[], Any]:
    """What waits until the device has done its work."""
    return (lambda: None) if device != "cuda" else import_module("cupy").cuda.Device().synchronize


def rows(
    place: Callable[[Any], Any], wait: Callable[[], Any], calls: int, peers: bool
) -> list[dict[str, Any]]:
    """The latencies of all contestants, each printed when it is known."""
    found = []
    print(f"{'problem':<20}{'call':<28}{'median us':>10}{'fastest':>10}{'bytes':>8}")
    for spec in PROBLEMS:
        for name, call in contestants(spec, place, peers).items():
            latency = measure(call, wait, calls)
            found.append({"problem": label(spec), "call": name, **asdict(latency)})
            print(f"{label(spec):<20}{name:<28}{latency.median_us:>10.2f}{latency.fastest_us:>10.2f}"
                  f"{latency.python_bytes:>8}", flush=True)  # fmt: skip
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each call and, with --out, write the file; returns exit code 0."""
    parser = argparse.ArgumentParser("python -m profiling.latency", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu", "idle"), default="cuda")
    parser.add_argument("--calls", type=int, default=5000, help="of each contestant, %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON, one row a problem and call")
    options = parser.parse_args(arguments)
    if options.calls < 1:
        parser.error(f"--calls must be at least 1, not {options.calls}")
    if options.device == "cuda":
        needs.launching("latency")
    engine, wait = import_module(f"profiling.device.{options.device}"), waiting(options.device)
    with engine.standing_in() if options.device == "idle" else nullcontext():
        found = rows(engine.place, wait, options.calls, peers=options.device != "idle")
    if options.out:
        device, driver = engine.describe()
        head = {
            "device": device, "driver": driver, "packages": results.packages(), "calls": options.calls,
            "date": results.today(), "commit": results.commit(), "rows": found,
        }  # fmt: skip
        options.out.write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")
    return 0
