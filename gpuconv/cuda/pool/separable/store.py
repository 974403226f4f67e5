"""How `pool_separable` stores the windows of a thread; a mean is divided here, once its sum is complete."""

from gpuconv.cuda.device.division import DIVIDED, overlap
from gpuconv.cuda.device.elements import Element, Function, inlined
from gpuconv.cuda.language import cuda, int32, int64, uint32
from gpuconv.cuda.pool.separable.tiles import COUNT
from gpuconv.cuda.ptx.memory import store2, store4


def make_store(width: int) -> Function:
    """store(y, place, out, at): `width` neighbouring outputs."""

    def one(y, place, out, at):
        y[place] = out[at]

    def two(y, place, out, at):
        store2(y, place, out[at], out[at + 1])

    def four(y, place, out, at):
        store4(y, place, out[at], out[at + 1], out[at + 2], out[at + 3])

    return inlined({1: one, 2: two, 4: four}[width])


def make_window_storer(element: Element, width: int, reduction: str) -> Function:
    """store(...): COUNT rows of `width` outputs.

    Sums are divided by the product of what their rows and columns count; maxima are not.
    """
    IS_MEAN, scalar, divided = reduction == "mean", element.scalar, DIVIDED[element.arithmetic]
    store = make_store(width)

    def store_windows(y, place, y_p, out, p, q, P, h, w, R, S, stride, divisors):
        columns = cuda.local.array(width, scalar)
        rows_from, rows_to, columns_from, columns_to, counted, override = divisors
        if IS_MEAN:  # where no pixel counts, the sum of nothing is divided by 1
            for j in range(width):
                corner = uint32(w + uint32(uint32(q + uint32(j)) * stride[1]))
                taps = max(overlap(corner, S, columns_from, columns_to), int32(1))
                columns[j] = scalar(int32(taps * counted + (int32(1) - counted)))
        for i in range(COUNT):
            if IS_MEAN:
                corner = uint32(h + uint32(uint32(p + uint32(i)) * stride[0]))
                taps = max(overlap(corner, R, rows_from, rows_to), int32(1))
                of_rows = scalar(int32(taps * counted + override))
                for j in range(width):
                    out[i * width + j] = divided(out[i * width + j], of_rows * columns[j])
            if uint32(p + uint32(i)) < P:
                store(y, place, out, i * width)
            place += int64(y_p)

    return inlined(store_windows)
