"""The sign of maxima with indices that are zero, in a warp that has loaded a -0: that of what they index."""

from gpuconv.cuda.device.division import divide
from gpuconv.cuda.device.elements import Element, Function, inlined
from gpuconv.cuda.language import int64, uint32
from gpuconv.cuda.pool.rows.tiles import RowsTile


def make_zero_signer(element: Element, tile: RowsTile) -> Function:
    """sign_zeros(x, y, indices, planes, steps, P, Q, W): what a thread has stored, P x Q outputs at most.

    `planes` are the places of a plane of x, and of the thread's first output and index; `steps` those along
    their rows and columns. No loop of a constant length: it is done seldom, and need not be fast.
    """
    TILE_P, OUTPUTS, widen, scalar = tile.tile_p, tile.outputs, element.widen, element.scalar

    def sign_zeros(x, y, indices, planes, steps, P, Q, W):
        x_h, x_w, y_p, y_q, i_p, i_q = steps
        plane, place, place_i = planes
        for i in range(min(P, uint32(TILE_P))):
            for j in range(min(Q, uint32(OUTPUTS))):
                at = place + int64(i) * y_p + int64(j) * y_q
                if widen(y[at]) == scalar(0):
                    h, w = divide(uint32(indices[place_i + int64(i) * i_p + int64(j) * i_q]), W)
                    y[at] = x[plane + int64(h) * x_h + int64(w) * x_w]

    return inlined(sign_zeros)
