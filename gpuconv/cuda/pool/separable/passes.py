"""The two steps of `pool_separable` that reduce: rows of the tile, then columns of what they reduce to.

Functions for the kernels, compiled into them; their items are numbered flat, and a thread takes every
THREADS-th.
"""

from typing import Any

from gpuconv.cuda.device.division import quotient_and_rest
from gpuconv.cuda.device.elements import Function, inlined
from gpuconv.cuda.language import cuda, int32, uint32
from gpuconv.cuda.pool.separable.chains import make_chain, make_tap_by_tap
from gpuconv.cuda.pool.separable.tiles import COUNT, THREADS
from gpuconv.cuda.ptx.arithmetic import add_product
from gpuconv.cuda.ptx.memory import put_shared


def make_row_pass(scalar: Any, combine: Function) -> Function:
    """reduce_rows(...): COUNT windows of a row of the tile to a thread, into `lines`; identities outside."""
    SIZE, chain = scalar.bitwidth // 8, make_chain(scalar, combine, 1)
    tap_by_tap = make_tap_by_tap(scalar, combine, 1)

    def reduce_rows(
        chained, base, thread, h, H, planes, rows, groups, phases, step, lead, S, dilation, lines, identity
    ):  # fmt: skip
        out = cuda.local.array(COUNT, scalar)
        begin, lines_pitch = lines
        count, lanes = groups
        items = uint32(uint32(planes * rows[0]) * lanes[0])
        item = thread
        while item < items:
            line, group = quotient_and_rest(item, lanes)
            row = quotient_and_rest(line, rows)[1]
            place = uint32(uint32(line * phases[0]) + uint32(uint32(group * uint32(COUNT)) * step))
            address = uint32(base + uint32(place * uint32(SIZE)))
            for j in range(COUNT):
                out[j] = identity
            if (uint32(h + row) < H) & (group < count):
                if chained != uint32(0):
                    chain(out, uint32(address + uint32(lead * uint32(SIZE))), uint32(SIZE), S, identity)
                else:
                    tap_by_tap(out, address, uint32(step * uint32(SIZE)), lead, S, dilation, phases, identity)
            target = uint32(begin + uint32(uint32(line * lines_pitch) + uint32(group * uint32(COUNT))))
            for j in range(COUNT):
                put_shared(
                    group < count, uint32(base + uint32(uint32(target + uint32(j)) * uint32(SIZE))), (out[j],)
                )
            item = uint32(item + uint32(THREADS))

    return inlined(reduce_rows)


def make_column_pass(scalar: Any, combine: Function, store: Function, width: int) -> Function:
    """reduce_columns(...): COUNT windows of `width` columns of the lines to a thread, into y by `store`."""
    SIZE, OUTPUTS = scalar.bitwidth // 8, COUNT * width
    chain, tap_by_tap = make_chain(scalar, combine, width), make_tap_by_tap(scalar, combine, width)

    def reduce_columns(
        chained, base, thread, y, place, steps, P, Q, planes, strips, vectors, rows, lines, R, S, stride,
        dilation, h, w, divisors, identity,
    ):  # fmt: skip
        out = cuda.local.array(OUTPUTS, scalar)
        begin, lines_pitch = lines
        y_plane, y_p, y_q = steps
        flat = lines_pitch, uint32(0), uint32(0), uint32(0)
        step = uint32(stride[0] * uint32(lines_pitch * uint32(SIZE)))  # from window to window
        count, lanes = vectors
        items = uint32(uint32(planes * strips[0]) * lanes[0])
        item = thread
        while item < items:
            line, vector = quotient_and_rest(item, lanes)
            plane, strip = quotient_and_rest(line, strips)
            p, q = uint32(strip * uint32(COUNT)), uint32(vector * uint32(width))
            if (p < P) & (q < Q) & (vector < count):
                line = uint32(uint32(plane * rows[0]) + uint32(p * stride[0]))
                first = uint32(begin + uint32(uint32(line * lines_pitch) + q))
                address = uint32(base + uint32(first * uint32(SIZE)))
                if chained != uint32(0):
                    chain(out, address, step, R, identity)
                else:
                    tap = uint32(dilation * lines_pitch)
                    tap_by_tap(out, address, step, uint32(0), R, tap, flat, identity)
                target = add_product(add_product(place, int32(p), y_p), int32(q), y_q)
                target = add_product(target, int32(plane), y_plane)
                store(y, target, y_p, out, p, q, P, h, w, R, S, stride, divisors)
            item = uint32(item + uint32(THREADS))

    return inlined(reduce_columns)
