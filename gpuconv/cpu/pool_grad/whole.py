"""One window that has all of its plane: each plane is filled with one number, its share.

A task is BLOCK planes, which follow each other in memory: vectors of one go over its end, into the next.
Measured on 2026-11-29 on one core of a virtual Intel Xeon with AVX-512, not idle: 21 us for 8 x 512 planes of
7 x 7, for which PyTorch 2.13 takes 97.
"""

import math

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, kernel, source, target
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import is_contiguous
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.pool_grad.taken import TAKEN
from gpuconv.cpu.simd import claim, lanes, pointer, splat, store, store_part
from gpuconv.spec import MeanGradientSpec, PlainLayouts
from gpuconv.spec.mean_gradient import axes_of_windows, covering
from gpuconv.spec.windows import counted

BLOCK = 64


def _signature(scalar):
    return source(scalar, 4), target(scalar, 4), scalar, *TASKS


@kernel(_signature)
def fill_planes(x, y, divisor, counter, tasks):
    N, C, H, W = y.shape
    size = H * W
    while True:
        task = claim(counter)
        if task >= tasks:
            break
        begin, end = task * BLOCK, min((task + 1) * BLOCK, N * C)
        for plane in range(begin, end):
            share = splat(x[plane // C, plane % C, 0, 0] / divisor + x.dtype.type(0))
            to = pointer(y, plane * size)
            behind = (
                end - plane - 1
            ) * size  # elements of the task's planes that follow, and are written later
            full = size - size % lanes(to)
            for i in range(0, full, lanes(to)):
                store(to, i, share)
            if full < size and behind >= lanes(to):
                store(to, full, share)
            elif full < size:
                store_part(to, full, share, size - full)


def unsupported(spec: MeanGradientSpec, layouts: PlainLayouts, device: Processor) -> str | None:
    if (spec.P, spec.Q) != (1, 1):
        return f"it takes one window for each plane, not {spec.P} x {spec.Q}"
    for axis in axes_of_windows(spec):
        first, last = covering(axis, 1, spec.windows == "adaptive")
        if (first == last).any():
            return "the window does not have all of the plane"
    return None if is_contiguous(layouts.y) else "the planes of the result have gaps"


def worth(spec: MeanGradientSpec, layouts: PlainLayouts, device: Processor) -> bool:
    return True


def plan(spec: MeanGradientSpec, layouts: PlainLayouts, device: Processor) -> Run:
    is_adaptive, pad = spec.windows == "adaptive", spec.count_include_pad
    counts = (int(counted(axis, 1, is_adaptive, pad)[0]) for axis in axes_of_windows(spec))
    divisor = float(spec.divisor_override or math.prod(counts))
    planes = spec.N * spec.C
    work = planes * spec.H * spec.W // 4
    return bind(fill_planes, spec.dtype, -(-planes // BLOCK), work, {"divisor": divisor})


ALGORITHM = Algorithm(
    "shares_whole", TAKEN, unsupported, worth, plan, fast_for="one window that has all of its plane"
)  # fmt: skip
