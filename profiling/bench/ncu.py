"""The launches that Nsight Compute looks at: every algorithm once on each of a few large layers.

    ncu --clock-control none --csv --page raw --log-file ncu.csv python -m profiling.bench.ncu

What is printed names the launches in the order of ncu's rows, one line a kernel: an algorithm may have two or
three. Nothing is timed or checked here.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module

from gpuconv.call import Call, understand
from gpuconv.commands.covering import queued
from gpuconv.spec import Spec
from profiling.bench.contest import candidates
from profiling.workloads import convolution, label, operands, pool, public_call

LAYERS: tuple[Spec, ...] = (
    convolution(32, 64, 56, 64, 3),
    convolution(32, 256, 14, 256, 3),
    convolution(64, 512, 7, 512, 3),
    convolution(8, 64, 256, 64, 3),
    convolution(32, 256, 56, 64, 1),
    convolution(32, 3, 224, 64, 7, stride=2),
    convolution(32, 144, 56, 144, 3, groups=144),
    convolution(32, 144, 56, 144, 5, stride=2, groups=144),
    convolution(1, 1, 2048, 1, 5),
    convolution(1, 1, 2048, 1, 31),
    pool("max", 32, 64, 112, 3, stride=2, pad=1),
    pool("max", 32, 512, 14, 5, stride=1, pad=2),
    pool("mean", 32, 256, 56, 2),
    pool("mean", 32, 2048, 7, 7),
)


def launches(device: str) -> Iterator[str]:
    """Run each algorithm on each layer that it supports, and yield each kernel that ran."""
    place = import_module(f"profiling.device.{device}").place
    for spec in LAYERS:
        arrays = tuple(map(place, operands(spec)))
        for name in candidates(spec, arrays, "all")[0]:
            public = public_call(spec, arrays)
            call = understand(public.func, *public.args, **public.keywords, algorithm=name)
            public(algorithm=name)
            what = f"{name} on {label(spec)} N{spec.N}"
            yield from named(what, call) if device == "cuda" else [what]


def named(what: str, call: Call) -> Iterator[str]:
    """`what` with each of the kernels of a call on a GPU, in order."""
    kernels = queued(call.algorithm.plan(call.spec, call.layouts, call.device))
    for number, kernel in enumerate(kernels, 1):
        yield f"{what}, {number} of {len(kernels)}: {kernel}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and name the launches; returns exit code 0."""
    parser = argparse.ArgumentParser("python -m profiling.bench.ncu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args(arguments)
    for number, launch in enumerate(launches(options.device)):
        print(f"{number}: {launch}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
