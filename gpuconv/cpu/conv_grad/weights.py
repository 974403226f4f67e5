"""The weights of a gradient's phases, in the order that convolutions take: one copy of all of them a call.

    w (groups C, K, R, S)   ->   of each phase (groups K, C, taps of the phase, in reverse order)

A task is BLOCK output channels of a group. Of LANES input channels at a time, `arrange_vectors` reads what
lies side by side, all their taps, as vectors of input channels, and of each phase interleaves the vectors of
its taps:

    turned, of an output channel    [t0][t1][t2][t3]      a phase of t3 and t1    t3 t1 t3 t1 ..

It takes phases of 1, 2 or 4 taps, and whole vectors. Other weights are copied element by element (`arrange`).

Measured on 2026-11-29 on one core of an Intel Xeon (Ice Lake), not idle, in ns an element, beside `arrange`:
2x2/2 1024 -> 512 1.3 and 2.6, 512 -> 256 0.5 and 2.0; 4x4/2 512 -> 256 1.0 and 1.9; 3x3/2 256 -> 256 0.5 and
1.2.
"""

from collections.abc import Callable, Sequence

import numba
import numpy as np

from gpuconv.cpu.conv.lines import load_lines, set_line
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.cpu.simd import LANES, QUADS, claim, lanes, load, pointer, store
from gpuconv.cpu.simd.lines import LINE
from gpuconv.cpu.simd.squares import collect
from gpuconv.spec import ConvSpec, Phase
from gpuconv.spec.dtypes import BYTES, FLOATS, INT8, Dtype

BLOCK = 32
MOST, MOST_TAPS = 4, 64  # of a phase whose vectors are interleaved, and of all
WORK = 4  # multiply-adds that take as long as to copy an element


def _arrays(scalar):
    weight = numba.types.Array(scalar, 1, "C", readonly=True, aligned=False)
    arranged, table = numba.types.Array(scalar, 1, "C", aligned=False), workspace(numba.int64)
    return weight, arranged, numba.types.UniTuple(numba.int64, 3), table, table


def _turning(scalar):
    return *_arrays(scalar), workspace(numba.int64), workspace(scalar), workspace(numba.int64), *TASKS


@kernel(_turning)
def arrange_vectors(x, y, extents, firsts, counts, taps, turned, lines, counter, tasks):
    """Of phase i are the tap numbers taps[MOST i] and behind it, `counts[i]` of them, from firsts[i] on."""
    C, K, RS = extents
    L, blocks = lanes(turned), -(-K // BLOCK)
    while True:
        task = claim(counter)  # = g * blocks + block
        if task >= tasks:
            break
        g, begin = task // blocks, task % blocks * BLOCK
        some = min(BLOCK, K - begin)
        for c in range(0, C, L):
            for lane in range(L):
                set_line(lines, lane, ((g * C + c + lane) * K + begin) * RS, 0, some * RS)
            load_lines(
                pointer(x, 0), lines, (0, some * RS), 0, some * RS, pointer(turned, 0),
                pointer(taps, MOST * len(counts)),
            )  # fmt: skip
            for k in range(some):
                for i in range(len(counts)):
                    place = firsts[i] + ((g * K + begin + k) * C + c) * counts[i]
                    interleave(
                        pointer(turned, k * RS * L), pointer(taps, MOST * i), counts[i], pointer(y, place)
                    )


@inner
def interleave(turned, taps, count, to):
    """to[lane * count + j] = the vector of tap taps[j], j < count."""
    L = lanes(turned)
    if count == 1:
        store(to, 0, load(turned, taps[0] * L))
    elif count == 2:
        two = collect((load(turned, taps[0] * L), load(turned, taps[1] * L)), 2)
        store(to, 0, two[0])
        store(to, L, two[1])
    else:
        four = collect(
            (
                load(turned, taps[0] * L), load(turned, taps[1] * L), load(turned, taps[2] * L),
                load(turned, taps[3] * L),
            ), 4,
        )  # fmt: skip
        store(to, 0, four[0])
        store(to, L, four[1])
        store(to, 2 * L, four[2])
        store(to, 3 * L, four[3])


@kernel(lambda scalar: (*_arrays(scalar), *TASKS), (*FLOATS, INT8) if QUADS else FLOATS)
def arrange(x, y, extents, firsts, counts, counter, tasks):
    """Tap t of (k, c) goes to firsts[t] + (k * C + c) * counts[t], where its phase has so many taps."""
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
                    y[firsts[t] + place * counts[t]] = x[source + t]


def plan_weights(spec: ConvSpec, phases: Sequence[Phase]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """weights(w): those of each phase, until the next call of this thread."""
    sizes = [int(np.prod(phase.spec.weight_shape)) for phase in phases]
    begins = [int(begin) for begin in np.cumsum([0, *sizes])]
    numbers = np.arange(spec.R * spec.S).reshape(spec.R, spec.S)
    taps = [numbers[phase.taps].reshape(-1) for phase in phases]
    moved = INT8 if spec.dtype in BYTES else spec.dtype  # of bytes whose sign nobody asks for
    copy = _plan_copy(
        spec, moved, [(first, each) for first, each in zip(begins, taps, strict=False) if each.size]
    )

    def weights(w: np.ndarray) -> list[np.ndarray]:
        (arranged,) = reserve("conv_by_phases", moved, begins[-1] + 1)
        copy(w.reshape(-1).view(arranged.dtype), arranged)
        arranged = arranged.view(w.dtype)
        places = zip(begins, begins[1:], phases, strict=False)
        return [arranged[begin:end].reshape(phase.spec.weight_shape) for begin, end, phase in places]

    return weights


def _plan_copy(spec: ConvSpec, moved: Dtype, phases: Sequence[tuple[int, np.ndarray]]) -> Run:
    """What copies the weights to where each phase, of some taps, begins."""
    C, K, RS = spec.K // spec.groups, spec.C_group, spec.R * spec.S
    tasks = spec.groups * -(-K // BLOCK)
    work = WORK * spec.K * spec.C_group * RS
    firsts = np.array([first for first, _ in phases], np.int64)
    counts = np.array([each.size for _, each in phases], np.int64)
    L = LANES.get(moved)  # None of bytes
    if L and C % L == 0 and RS <= MOST_TAPS and {*counts.tolist()} <= {1, 2, MOST}:
        table = np.zeros(MOST * len(phases) + BLOCK * RS + L, np.int64)
        for i, (_, each) in enumerate(phases):
            table[MOST * i : MOST * i + each.size] = each
        table[MOST * len(phases) :] = np.arange(BLOCK * RS + L) * L
        return bind(
            arrange_vectors, moved, tasks, work,
            {"extents": (C, K, RS), "firsts": firsts, "counts": counts, "taps": table},
            {"turned": (BLOCK * RS + L) * L}, {"lines": LINE * L},
        )  # fmt: skip
    of_tap = np.array([[spec.K * spec.C_group * int(counts.sum())], [0]], np.int64).repeat(
        RS, 1
    )  # of no phase
    for first, each in phases:
        of_tap[0, each], of_tap[1, each] = first + np.arange(each.size), each.size
    constants = {"extents": (C, K, RS), "firsts": of_tap[0], "counts": of_tap[1]}
    return bind(arrange, moved, tasks, work, constants)
