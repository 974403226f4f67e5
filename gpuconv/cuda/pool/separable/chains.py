"""Five neighbouring windows at a time, in a row or in a column, for `pool_separable`.

Windows of stride 1 share most of their taps. A thread puts five of them together from those that all have
in common, the ones before and the ones behind; of three windows of 7 taps:

    taps        0   1   2   3   4   5   6   7   8
    common              [  2 .. 6           ]
    before      [ 0 1 ] [ 1 ]
    behind                                  [ 7 ] [ 7 8 ]

so that each takes one step for its own tap and two to put the parts together, however many taps there are.
Nothing is ever subtracted: what is infinite or not a number stays in the windows that cover it. Windows that
share less, for their stride or dilation, are reduced tap by tap.
"""

from typing import Any

from gpuconv.cuda.device.elements import Function, inlined
from gpuconv.cuda.language import cuda, uint32
from gpuconv.cuda.pool.separable.tiles import COUNT
from gpuconv.cuda.ptx.memory import get_shared


def make_getter(scalar: Any, width: int) -> Function:
    """get(values, address): `width` elements of shared memory."""

    def one(values, address):
        (values[0],) = get_shared(1, scalar(0), address)

    def two(values, address):
        values[0], values[1] = get_shared(2, scalar(0), address)

    def four(values, address):
        values[0], values[1], values[2], values[3] = get_shared(4, scalar(0), address)

    return inlined({1: one, 2: two, 4: four}[width])


def make_chain(scalar: Any, combine: Function, width: int) -> Function:
    """chain(out, address, step, taps, identity): windows of at least COUNT - 1 taps.

    Taps, and windows, follow each other at `step` bytes; each is `width` neighbouring elements.
    """
    LAST, get = COUNT - 1, make_getter(scalar, width)

    def make_before(i: int) -> Function:  # a loop that counts down is no straight line for sm_100
        def before(out, kept, tap, address, step):
            get(tap, uint32(address + uint32(uint32(i) * step)))
            for j in range(width):
                kept[j] = combine(kept[j], tap[j])
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
        while address != behind:
            get(tap, address)
            address = uint32(address + step)
            for j in range(width):
                kept[j] = combine(kept[j], tap[j])
        for i in range(LAST):
            get(tap, uint32(address + uint32(uint32(i) * step)))
            for j in range(width):
                out[i * width + j] = combine(out[i * width + j], kept[j])
                kept[j] = combine(kept[j], tap[j])
        for j in range(width):
            out[LAST * width + j] = kept[j]

    return inlined(chain)


def make_tap_by_tap(scalar: Any, combine: Function, width: int) -> Function:
    """tap_by_tap(out, address, step, column, taps, dilation, phases, identity): each `step` bytes on.

    Their first tap is at `column`, the next `dilation` columns on, each where its phase lies.
    """
    get, SIZE, OUTPUTS = make_getter(scalar, width), scalar.bitwidth // 8, COUNT * width

    def tap_by_tap(out, address, step, column, taps, dilation, phases, identity):
        tap = cuda.local.array(width, scalar)
        _, mask, shift, phase_pitch = phases
        for i in range(OUTPUTS):
            out[i] = identity
        behind = uint32(column + uint32(taps * dilation))
        while column != behind:
            place = uint32(uint32(column & mask) * phase_pitch)
            place = uint32(place + uint32(column >> uint32(shift & uint32(31))))
            place = uint32(address + uint32(place * uint32(SIZE)))
            for i in range(COUNT):
                get(tap, uint32(place + uint32(uint32(i) * step)))
                for j in range(width):
                    out[i * width + j] = combine(out[i * width + j], tap[j])
            column = uint32(column + dilation)

    return inlined(tap_by_tap)
