"""The second half of `conv_winograd`'s kernel: from sums in registers to outputs.

After the product a warp has 2 of the 16 elements of 64 channels x 32 tiles; an output needs all 16. They
change hands in shared memory, 16 channels at a time, two of each thread's eight:

    [16 elements][2 halves of the tiles][16 channels][16 tiles]  float32, 16 words more between the halves

Two such buffers take turns, so that one barrier separates putting from taking. A thread takes both channels
of its own tile, transforms them back and stores them.
"""

from collections.abc import Callable

from gpuconv.cuda.conv.winograd.direct import channel
from gpuconv.cuda.conv.winograd.transform import ELEMENTS, transform_output
from gpuconv.cuda.device.epilogue import finish
from gpuconv.cuda.language import cuda, float32, int64, uint32, uint64
from gpuconv.cuda.ptx.memory import store2_if, store4, store_if

ROW = 16  # tiles, and channels
HALF = ROW * ROW + 16  # words: the two halves of a warp meet different banks
ELEMENT = 2 * HALF
BUFFER = ELEMENTS * ELEMENT
GREATEST = 3.4028234663852886e38  # of finite float32


@cuda.jit(device=True, inline="always")
def lane_k(lane):
    """Which of 8 groups of channels a lane multiplies: bits 1, 3 and 4 of its number."""
    return uint32((lane >> uint32(1)) & uint32(1) | (lane >> uint32(2)) & uint32(6))


@cuda.jit(device=True, inline="always")
def lane_tile(lane):
    """Which of 4 groups of tiles: bits 0 and 2."""
    return uint32(lane & uint32(1) | (lane >> uint32(1)) & uint32(2))


def make_round(first: int) -> Callable[..., None]:
    """A function that exchanges the sums of channels `first` and `first` + 1 of each thread and stores."""
    START = first // 2 % 2 * BUFFER

    @cuda.jit(device=True, inline="always")
    def store_two(shared, sums, others, m, put, take, y, outputs):
        for i in range(2):
            for half in range(2):
                at = 8 * (first + i) + 4 * half
                to = put + uint64(START + half * HALF + i * 8 * ROW)
                store4(shared, to, sums[at], sums[at + 1], sums[at + 2], sums[at + 3])
                to += uint64(ELEMENT)
                store4(shared, to, others[at], others[at + 1], others[at + 2], others[at + 3])
        cuda.syncthreads()
        anew = uint32(0)
        for i in range(2):
            for element in range(ELEMENTS):
                m[element] = shared[take + uint64(START + element * ELEMENT + i * 8 * ROW)]
            anew |= store_channel(first + i, m, shared, y, outputs)
        return anew

    return store_two


round_0, round_2, round_4, round_6 = (make_round(first) for first in (0, 2, 4, 6))


@cuda.jit(device=True, inline="always")
def store_tiles(shared, sums, others, m, lane, warp, y, outputs):
    """Store a thread's tile of 8 channels; a bit for each of which a result is not finite.

    `m` is room for 16 elements, `y` points to the tile's first output, and `outputs` says what is there to
    store: (where the biases of the block begin in shared memory, steps of y along k, p and q, the thread's
    first channel, channels, rows and columns, whether two columns may be stored at once).
    """
    column = uint32(lane_k(lane) * uint32(ROW) + lane_tile(lane) * uint32(4))
    put = uint64(uint32(warp * uint32(2 * ELEMENT) + column))
    take = uint64(uint32(lane // uint32(ROW) * uint32(HALF) + warp * uint32(ROW) + lane % uint32(ROW)))
    anew = round_0(shared, sums, others, m, put, take, y, outputs)
    anew |= round_2(shared, sums, others, m, put, take, y, outputs)
    anew |= round_4(shared, sums, others, m, put, take, y, outputs)
    anew |= round_6(shared, sums, others, m, put, take, y, outputs)
    return anew


@cuda.jit(device=True, inline="always")
def store_channel(i, m, shared, y, outputs):
    """Store the tile of the i-th channel; its bit if a result is not finite and has to be computed anew."""
    biases, y_k, y_p, y_q, first, channels, rows, columns, aligned = outputs
    k = channel(first, uint32(i))
    here = k < channels
    a, b, c, d = transform_output(m)
    finite = is_finite(a) & is_finite(b) & is_finite(c) & is_finite(d)
    start = shared[uint64(biases) + uint64(k)]
    place = int64(k) * y_k
    upper, lower = here and rows > uint32(0), here and rows > uint32(1)
    if aligned != uint32(0):
        store2_if(upper, y, place, finish(a, start), finish(b, start))
        store2_if(lower, y, place + y_p, finish(c, start), finish(d, start))
    else:
        second = columns > uint32(1)
        store_if(upper, y, place, finish(a, start))
        store_if(upper and second, y, place + y_q, finish(b, start))
        store_if(lower, y, place + y_p, finish(c, start))
        store_if(lower and second, y, place + y_p + y_q, finish(d, start))
    return uint32(0) if finite or not upper else uint32(1 << i)


@cuda.jit(device=True, inline="always")
def is_finite(value):
    return abs(value) <= float32(GREATEST)
