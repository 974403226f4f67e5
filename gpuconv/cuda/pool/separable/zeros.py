"""The sign of maxima that are zero, of a tile in which there is a -0: that of the first zero of each window.

The instruction for maxima gives +0 if one of the zeros is. So where that may be wrong, what a tile has stored
is read again, and a window whose maximum is +0 is gone through in the x tile, up to its first zero.
"""

from gpuconv.cuda.device.elements import inlined
from gpuconv.cuda.device.zeros import is_negative_zero32
from gpuconv.cuda.language import float32, int32, uint32
from gpuconv.cuda.pool.separable.tiles import THREADS
from gpuconv.cuda.ptx.arithmetic import add_product
from gpuconv.cuda.ptx.memory import get_shared

SIZE = 4  # bytes of a float32


@inlined
def sign_zeros(
    base, thread, y, place, steps, planes, P, Q, rows, phases, lead, R, S, stride, dilation, h, H
):  # fmt: skip
    """P x Q outputs of each plane of a tile, of which a thread takes every THREADS-th."""
    y_plane, y_p, y_q = steps
    pitch, mask, shift, phase_pitch = phases
    item = thread
    while item < uint32(planes * uint32(P * Q)):
        above, q = uint32(item // Q), uint32(item % Q)
        plane, p = uint32(above // P), uint32(above % P)
        target = add_product(add_product(place, int32(p), y_p), int32(q), y_q)
        target = add_product(target, int32(plane), y_plane)
        value = y[target]
        found, r = value != float32(0) or is_negative_zero32(value), uint32(0)
        while r < R and not found:
            down = uint32(uint32(p * stride[0]) + uint32(r * dilation[0]))
            line = uint32(uint32(uint32(plane * rows) + down) * pitch)
            s = uint32(0) if uint32(h + down) < H else S
            while s < S and not found:
                column = uint32(lead + uint32(uint32(q * stride[1]) + uint32(s * dilation[1])))
                at = uint32(
                    uint32(column & mask) * phase_pitch + uint32(column >> uint32(shift & uint32(31)))
                )
                (value,) = get_shared(1, float32(0), uint32(base + uint32(uint32(line + at) * uint32(SIZE))))
                found = value == float32(0)
                if found:
                    y[target] = value
                s = uint32(s + uint32(1))
            r = uint32(r + uint32(1))
        item = uint32(item + uint32(THREADS))
