"""The weights of a gradient's phases, in the order that convolutions take: one copy of all of them a call.

    w (groups C, K, R, S)   ->   of each phase (groups K, C, taps of the phase, in reverse order)

A task is BLOCK output channels of a group: of each input channel it reads what lies side by side, all their
taps, and puts each where its phase has it.
"""

from collections.abc import Callable, Sequence

import numba
import numpy as np

from gpuconv.cpu.engine.compiled import TASKS, kernel, workspace
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.cpu.simd import QUADS, claim
from gpuconv.spec import ConvSpec, Phase
from gpuconv.spec.dtypes import BYTES, FLOATS, INT8
from gpuconv.threads import share

BLOCK = 16
WORK = 4  # multiply-adds that take as long as to copy an element


def _signature(scalar):
    weight, table = numba.types.Array(scalar, 1, "C", readonly=True, aligned=False), workspace(numba.int64)
    return weight, numba.types.UniTuple(numba.int64, 3), workspace(scalar), table, table, *TASKS


@kernel(_signature, (*FLOATS, INT8) if QUADS else FLOATS)
def arrange(w, extents, arranged, firsts, taps, counter, tasks):
    """Tap t of (k, c) goes to firsts[t] + (k * C + c) * taps[t], where its phase has so many taps."""
    C, K, RS = extents
    blocks = -(-K // BLOCK)
    while True:
        task = claim(counter)  # = g * blocks + block
        if task >= tasks:
            break
        g, begin = task // blocks, task % blocks * BLOCK
        for k in range(begin, min(begin + BLOCK, K)):
            for c in range(C):
                place, source = (g * K + k) * C + c, ((g * C + c) * K + k) * RS
                for t in range(RS):
                    arranged[firsts[t] + place * taps[t]] = w[source + t]


def plan_weights(spec: ConvSpec, phases: Sequence[Phase]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """weights(w): those of each phase, until the next call of this thread."""
    sizes = [int(np.prod(phase.spec.weight_shape)) for phase in phases]
    begins = [int(begin) for begin in np.cumsum([0, *sizes])]
    firsts, taps = np.full(spec.R * spec.S, begins[-1]), np.zeros(spec.R * spec.S, np.int64)  # of no phase
    for begin, phase in zip(begins, phases, strict=False):
        numbers = np.arange(spec.R * spec.S).reshape(spec.R, spec.S)[phase.taps].reshape(-1)
        firsts[numbers], taps[numbers] = begin + np.arange(numbers.size), numbers.size
    extents = spec.K // spec.groups, spec.C_group, spec.R * spec.S
    moved = INT8 if spec.dtype in BYTES else spec.dtype  # of bytes whose sign nobody asks for
    copy, tasks = arrange.entry(moved), spec.groups * -(-spec.C_group // BLOCK)

    def weights(w: np.ndarray) -> list[np.ndarray]:
        (arranged,) = reserve("conv_by_phases", moved, begins[-1] + 1)
        given = w.reshape(-1).view(arranged.dtype)

        def compute(counter: np.ndarray) -> None:
            copy(given, extents, arranged, firsts, taps, counter, tasks)

        share(compute, tasks, WORK * begins[-1])
        places = zip(begins, begins[1:], phases, strict=False)
        arranged = arranged.view(w.dtype)
        return [arranged[begin:end].reshape(phase.spec.weight_shape) for begin, end, phase in places]

    return weights
