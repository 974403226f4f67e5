"""What `conv_winograd` does where a result is not finite: the tile once more, as the definition says.

    y[p + a, q + b] = bias + sum over c, r, s of w[k, c, r, s] * x[c, h + a + r, v + b + s]

The transforms add neighbours, so an infinity next to another number, or two large numbers, can make a NaN
where the sum has none. The other way round nothing is missed: an output is a sum, with factors that are not
zero, of products of 9 of the 16 elements; these are sums of the 9 inputs of its window and of the weights,
each of which is in some of them. No such sum is finite if one of its terms is not. So a finite result was
computed from finite numbers alone, and no input or weight that is not finite belongs to it.

It is slow, and rare: one thread computes each output, with a load for each factor.
"""

from gpuconv.cuda.device.epilogue import finish
from gpuconv.cuda.language import cuda, float32, int64, uint32
from gpuconv.cuda.ptx.memory import load_if


@cuda.jit(device=True, inline="always")
def compute_directly(
    channels_of_thread, x, w, shared, biases, y,
    x_c, x_h, w_k, w_c, w_r, w_s, y_k, y_p, y_q, inside, C, rows, columns, first,
):  # fmt: skip
    """The tile of a thread for those of its 8 channels whose bit is set.

    The pointers are those of the tile's first input and output and of the block's first weight, whose biases
    begin at `biases`; `inside` has a bit for each of the 16 inputs, and `rows` x `columns` outputs are there.
    """
    i = uint32(0)
    while channels_of_thread != uint32(0):
        if channels_of_thread & uint32(1) != uint32(0):
            k = channel(first, i)
            start = shared[uint32(biases + k)]
            a = uint32(0)
            while a < rows:
                b = uint32(0)
                while b < columns:
                    seen = inside >> uint32(uint32(4) * a + b)
                    window = int64(a) * x_h + int64(b)
                    total = sum_of_window(x, w, window, int64(k) * w_k, x_c, x_h, w_c, w_r, w_s, seen, C)
                    y[int64(k) * y_k + int64(a) * y_p + int64(b) * y_q] = finish(total, start)
                    b = uint32(b + uint32(1))
                a = uint32(a + uint32(1))
        channels_of_thread = channels_of_thread >> uint32(1)
        i = uint32(i + uint32(1))


@cuda.jit(device=True, inline="always")
def channel(first, i):
    """The i-th of a thread's channels: four side by side from `first` on, and the same 32 further on."""
    return uint32(first + i % uint32(4) + i // uint32(4) * uint32(32))


@cuda.jit(device=True, inline="always")
def sum_of_window(x, w, place, w_place, x_c, x_h, w_c, w_r, w_s, inside, C):
    total, c = float32(0), uint32(0)
    while c < C:
        r = uint32(0)
        while r < uint32(3):
            s = uint32(0)
            while s < uint32(3):
                here = (inside >> uint32(uint32(4) * r + s)) & uint32(1) != uint32(0)
                from_x = place + int64(c) * x_c + int64(r) * x_h + int64(s)
                from_w = w_place + int64(c) * w_c + int64(r) * w_r + int64(s) * w_s
                total += load_if(here, x, from_x, float32(0)) * w[from_w]
                s = uint32(s + uint32(1))
            r = uint32(r + uint32(1))
        c = uint32(c + uint32(1))
    return total
