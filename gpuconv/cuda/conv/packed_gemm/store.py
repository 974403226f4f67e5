"""How the packed GEMM puts its sums into the output, of any strides, with the bias.

Each warp turns its sums by way of shared memory, 32 channels at a time: as they come from the tensor cores,
a lane has two pixels of each of several channels. Then lanes lie along the pixels, of which each stores two,
with one access where pairs of them lie side by side; or along the channels, where those do.
"""

from collections.abc import Callable

from gpuconv.cuda.conv.packed_gemm.tiles import STORED_K, PackedTile
from gpuconv.cuda.conv.split import place_of_pixel
from gpuconv.cuda.device.elements import OPERANDS, SCALARS, inlined, make_storer
from gpuconv.cuda.device.epilogue import finish
from gpuconv.cuda.language import cuda, int64, uint32
from gpuconv.spec import Dtype


def make_store(bias_dtype: Dtype, result: Dtype, tile: PackedTile) -> Callable[..., None]:
    """A function that stores 32 channels of a warp, of sums in `shared` as `make_put_sums` leaves them.

    `part` is ((their first word, the lane), (first channel, how many are left), (first pixel, all pixels)),
    `added` is (stride of the bias, whether there is one), `layout` (run, runs, whether pairs of pixels are
    whole, whether channels lie side by side).
    """
    scalar, widen, narrow = SCALARS[result.arithmetic], OPERANDS[bias_dtype].widen, OPERANDS[result].narrow
    store_pair = make_storer(OPERANDS[result], 2)
    PITCH, PAIRS, TURNS = tile.warp_pixels, tile.warp_pixels // 2, tile.pixel_tiles - 1
    ROWS = 32 // PAIRS  # that a warp stores at once

    @inlined
    def word(row, pair):
        piece = uint32(pair // uint32(4)) ^ uint32(row & uint32(TURNS))
        return uint32(row * uint32(PITCH) + (piece * uint32(4) + pair % uint32(4)) * uint32(2))

    @inlined
    def start_of(bias, added, k):
        bias_k, has_bias = added
        return widen(bias[int64(k) * bias_k]) if has_bias != uint32(0) else scalar(0)

    @inlined
    def along_pixels(shared, bias, y, part, added, first, y_k, layout):
        (begin, lane), (k, channels), (pixel, pixels) = part
        run, runs, strides, paired = layout
        values = cuda.local.array(2, scalar)
        pair = uint32(lane % uint32(PAIRS))
        here = uint32(pixel + uint32(2) * pair)
        place, other = first + place_of_pixel(here, run, runs, strides), int64(0)
        if paired == uint32(0):
            other = first + place_of_pixel(uint32(here + uint32(1)), run, runs, strides)
        for i in range(lane // uint32(PAIRS), min(channels, uint32(STORED_K)), uint32(ROWS)):
            row = uint32(i)
            if here < pixels:
                start = start_of(bias, added, uint32(k + row))
                at = uint32(begin + word(row, pair))
                values[0] = finish(shared[at], start)
                values[1] = finish(shared[uint32(at + uint32(1))], start)
                down = int64(row) * y_k
                if paired != uint32(0):
                    store_pair(y, place + down, values)
                else:
                    y[place + down] = narrow(values[0])
                    if uint32(here + uint32(1)) < pixels:
                        y[other + down] = narrow(values[1])

    @inlined
    def along_channels(shared, bias, y, part, added, first, layout):
        (begin, lane), (k, channels), (pixel, pixels) = part
        run, runs, strides, _ = layout
        if lane < channels:
            start = start_of(bias, added, uint32(k + lane))
            first += int64(lane)
            for i in range(min(uint32(pixels - pixel), uint32(PITCH))):
                j = uint32(i)
                at = uint32(begin + word(lane, uint32(j // uint32(2))) + j % uint32(2))
                place = first + place_of_pixel(uint32(pixel + j), run, runs, strides)
                y[place] = narrow(finish(shared[at], start))

    @inlined
    def store(shared, bias, y, part, added, y_first, strides, layout):
        (k, _), (pixel, pixels) = part[1:]
        run, runs, paired, channels_last = layout
        first, places = y_first + int64(k) * strides[1], (run, runs, strides, paired)
        if pixel < pixels:
            if channels_last != uint32(0):
                along_channels(shared, bias, y, part, added, first, places)
            else:
                along_pixels(shared, bias, y, part, added, first, strides[1], places)

    return store
