"""Five neighbouring windows at a time, in a row or in a column, for `pool_separable`.

Windows of stride 1 share most of their taps. A thread puts five of them together from those that all have
in common, the ones before and the ones behind; of three windows of 7 taps:

    taps        0   1   2   3   4   5   6   7   8
    common              [  2 .. 6           ]
    before      [ 0 1 ] [ 1 ]
    behind                                  [ 7 ] [ 7 8 ]

so that each takes one step for its own tap and two to put the parts together, however many taps there are.
Nothing is ever subtracted: what is infinite or not a number stays in the windows that cover it. Windows that
share less, for their stride or dilation, are reduced tap by tap. Taps combine as they follow each other, the
earlier one first. Sums are added up in runs of RUN taps, so that no rounding error grows with the window:
`longest_chain` says how many additions one behind the other there are.
"""

from typing import Any

from gpuconv.cuda.device.elements import Function, inlined
from gpuconv.cuda.device.reduction import RUN, Reduction
from gpuconv.cuda.language import cuda, uint32
from gpuconv.cuda.pool.separable.tiles import COUNT
from gpuconv.cuda.ptx.memory import get_shared

LONGEST = 1500  # taps of a mean in a row or a column whose sum is accurate enough


def make_getter(scalar: Any, width: int) -> Function:
    """get(values, address): `width` elements of shared memory."""

    def one(values, address):
        (values[0],) = get_shared(1, scalar(0), address)

    def two(values, address):
        values[0], values[1] = get_shared(2, scalar(0), address)

    def four(values, address):
        values[0], values[1], values[2], values[3] = get_shared(4, scalar(0), address)

    return inlined({1: one, 2: two, 4: four}[width])


def longest_chain(taps: int, chained: bool) -> int:
    """Roundings that one tap of a sum goes through, of five windows in a row or a column."""
    if not chained:
        return min(taps, RUN) - 1 + _runs_behind(taps)
    common = taps - (COUNT - 1)
    return max(min(common, RUN) - 1, 0) + _runs_behind(common) + COUNT


def _runs_behind(taps: int) -> int:
    """Runs after the first."""
    return max(-(-taps // RUN) - 1, 0)


def make_common(scalar: Any, reduction: Reduction, width: int) -> Function:
    """common(kept, address, behind, step, taps): the taps from an address on, added to what is kept."""
    combine, identity, get = reduction.combine, reduction.identity, make_getter(scalar, width)

    def at_once(kept, address, behind, step, taps):
        tap = cuda.local.array(width, scalar)
        while address != behind:
            get(tap, address)
            address = uint32(address + step)
            for j in range(width):
                kept[j] = combine(kept[j], tap[j])

    def in_runs(kept, address, behind, step, taps):
        tap, runs = cuda.local.array(width, scalar), cuda.local.array(width, scalar)
        for j in range(width):
            runs[j] = scalar(identity)
        while address != behind:
            end = uint32(address + min(uint32(behind - address), uint32(uint32(RUN) * step)))
            while address != end:
                get(tap, address)
                address = uint32(address + step)
                for j in range(width):
                    kept[j] = combine(kept[j], tap[j])
            if end != behind:
                for j in range(width):
                    runs[j], kept[j] = combine(runs[j], kept[j]), scalar(identity)
        if taps > uint32(RUN):
            for j in range(width):
                kept[j] = combine(runs[j], kept[j])

    return inlined(in_runs if reduction.in_runs else at_once)


def make_chain(scalar: Any, reduction: Reduction, width: int) -> Function:
    """chain(out, address, step, taps, identity): windows of at least COUNT - 1 taps.

    Taps, and windows, follow each other at `step` bytes; each is `width` neighbouring elements.
    """
    LAST, get = COUNT - 1, make_getter(scalar, width)
    combine, common = reduction.combine, make_common(scalar, reduction, width)

    def make_before(i: int) -> Function:  # a loop that counts down is no straight line for sm_100
        def before(out, kept, tap, address, step):
            get(tap, uint32(address + uint32(uint32(i) * step)))
            for j in range(width):
                kept[j] = combine(tap[j], kept[j])
                out[i * width + j] = kept[j]

        return inlined(before)

    before3, before2, before1, before0 = map(make_before, reversed(range(LAST)))

    def chain(out, address, step, taps, identity):
        tap, kept = cuda.local.array(width, scalar), cuda.local.array(width, scalar)
        for j in range(width):
            kept[j] = identity
        before3(out, kept, tap, address, step)
        before2(out, kept, tap, address, step)
        before1(out, kept, tap, address, step)
        before0(out, kept, tap, address, step)
        for j in range(width):
            kept[j] = identity
        address = uint32(address + uint32(uint32(LAST) * step))
        behind = uint32(address + uint32(uint32(taps - uint32(LAST)) * step))
        common(kept, address, behind, step, uint32(taps - uint32(LAST)))
        for i in range(LAST):
            get(tap, uint32(behind + uint32(uint32(i) * step)))
            for j in range(width):
                out[i * width + j] = combine(out[i * width + j], kept[j])
                kept[j] = combine(kept[j], tap[j])
        for j in range(width):
            out[LAST * width + j] = kept[j]

    return inlined(chain)


def make_taps(scalar: Any, combine: Function, width: int) -> Function:
    """take(out, address, step, column, behind, dilation, phases): taps from `column` on, to all windows."""
    get, SIZE = make_getter(scalar, width), scalar.bitwidth // 8

    def take(out, address, step, column, behind, dilation, phases):
        tap = cuda.local.array(width, scalar)
        _, mask, shift, phase_pitch = phases
        while column != behind:
            place = uint32(uint32(column & mask) * phase_pitch)
            place = uint32(place + uint32(column >> uint32(shift & uint32(31))))
            place = uint32(address + uint32(place * uint32(SIZE)))
            for i in range(COUNT):
                get(tap, uint32(place + uint32(uint32(i) * step)))
                for j in range(width):
                    out[i * width + j] = combine(out[i * width + j], tap[j])
            column = uint32(column + dilation)

    return inlined(take)


def make_tap_by_tap(scalar: Any, reduction: Reduction, width: int) -> Function:
    """tap_by_tap(out, address, step, column, taps, dilation, phases, identity): each `step` bytes on.

    Their first tap is at `column`, the next `dilation` columns on, each where its phase lies.
    """
    OUTPUTS, combine, take = COUNT * width, reduction.combine, make_taps(scalar, reduction.combine, width)

    def at_once(out, address, step, column, taps, dilation, phases, identity):
        for i in range(OUTPUTS):
            out[i] = identity
        take(out, address, step, column, uint32(column + uint32(taps * dilation)), dilation, phases)

    def in_runs(out, address, step, column, taps, dilation, phases, identity):
        runs = cuda.local.array(OUTPUTS, scalar)
        for i in range(OUTPUTS):
            out[i], runs[i] = identity, identity
        behind = uint32(column + uint32(taps * dilation))
        while column != behind:
            end = uint32(column + min(uint32(behind - column), uint32(uint32(RUN) * dilation)))
            take(out, address, step, column, end, dilation, phases)
            column = end
            if end != behind:
                for i in range(OUTPUTS):
                    runs[i], out[i] = combine(runs[i], out[i]), identity
        if taps > uint32(RUN):
            for i in range(OUTPUTS):
                out[i] = combine(runs[i], out[i])

    return inlined(in_runs if reduction.in_runs else at_once)
