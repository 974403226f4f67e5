"""The first half of `conv_winograd`'s kernel: where a tile's inputs lie, and how they come into a stage."""

from gpuconv.cuda.conv.winograd.transform import ELEMENTS, transform_input
from gpuconv.cuda.device.division import divide
from gpuconv.cuda.language import cuda, uint32, uint64

TILES = 32  # of a block


@cuda.jit(device=True, inline="always")
def first_output(tile, tiles_p, tiles_q):
    """(n, p, q) of a tile's first output."""
    image, tile_q = divide(tile, tiles_q)
    n, tile_p = divide(image, tiles_p)
    return n, uint32(tile_p * uint32(2)), uint32(tile_q * uint32(2))


@cuda.jit(device=True, inline="always")
def inside_bits(h, w, H, W):
    """A bit for each of the 4 x 4 inputs from (h, w) on that lies in the image."""
    columns, bits = uint32(0), uint32(0)
    for i in range(4):
        columns |= uint32(1 << i) if uint32(w + uint32(i)) < W else uint32(0)
    for i in range(4):
        bits |= uint32(columns << uint32(4 * i)) if uint32(h + uint32(i)) < H else uint32(0)
    return bits


@cuda.jit(device=True, inline="always")
def put(d, shared, to):
    """Transform a tile's inputs and put them into a stage."""
    transform_input(d)
    for element in range(ELEMENTS):
        shared[uint64(to) + uint64(TILES * element)] = d[element]
