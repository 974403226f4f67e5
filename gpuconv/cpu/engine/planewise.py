"""Planes of float16 and bfloat16: a block is widened to float32, computed by another algorithm, and rounded.

For operators whose planes have nothing to do with each other. A block is several planes, or one: that is the
least that is widened.
"""

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, plan_by
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.sixteen_bits import narrow, widen
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec.dtypes import FLOAT32, SIXTEEN_BITS
from gpuconv.spec.layouts import packed
from gpuconv.workspace import workspace_limit

BLOCK = 1 << 18  # elements: 1 MiB of float32, for x and for y


def unsupported(spec: Any, layouts: Any, device: Processor) -> str | None:
    return None


def worth(spec: Any, layouts: Any, device: Processor) -> bool:
    return True


def plan(
    name: str, algorithms: Algorithms, spec: Any, layouts: Any, device: Processor,
) -> Run:  # fmt: skip
    depth = spec.in_shape[1] // max(spec.C, 1)  # of x, beside one plane of y
    plane = max(1, *(int(np.prod(shape[1:])) // max(spec.C, 1) for shape in (spec.in_shape, spec.out_shape)))
    most = max(1, min(BLOCK, workspace_limit() // 8) // plane)
    firsts = range(0, spec.C, most)
    blocks = {count: _block(algorithms, spec, count, layouts, device) for count in _counts(spec.C, most)}

    def run(x: np.ndarray, *rest: np.ndarray) -> None:
        *between, y = rest
        for n, first in itertools.product(range(spec.N), firsts):
            last = min(first + most, spec.C)
            seen, target = x[n : n + 1, first * depth : last * depth], y[n : n + 1, first:last]
            values, results = reserve(name, FLOAT32, seen.size, target.size)
            widen(seen, values)
            beside = [each[n : n + 1, first:last] for each in between]
            blocks[last - first](values.reshape(seen.shape), *beside, results.reshape(target.shape))
            narrow(results, target)

    return run


def _counts(C: int, most: int) -> set[int]:
    """Planes of the blocks: as many as fit, and what is left."""
    return {min(most, C - first) for first in range(0, C, most)}


def _block(algorithms: Algorithms, spec: Any, count: int, layouts: Any, device: Processor) -> Run:
    """How some planes in float32 are computed: by the first of `algorithms` that can."""
    block = replace(spec, N=1, C=count, dtype=FLOAT32)
    x, y = (packed(shape, np.dtype(FLOAT32)) for shape in (block.in_shape, block.out_shape))
    problem = block, layouts._replace(x=x, y=y), device
    return plan_by(algorithms, *problem)


def over(name: str, takes: dict[str, Any], algorithms: Algorithms) -> Algorithm:
    """The algorithm that computes with the first of `algorithms` that takes a block."""
    return Algorithm(
        name, {**takes, "dtype": SIXTEEN_BITS}, unsupported, worth, partial(plan, name, algorithms),
        fast_for="numbers of 16 bits",
    )  # fmt: skip
