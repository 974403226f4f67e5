"""One thread for each element of an array of four axes, which are numbered flat: ((n C + c) H + h) W + w."""

import math

from gpuconv.cuda.device.elements import inlined
from gpuconv.cuda.language import cuda, int64, uint32
from gpuconv.cuda.runtime.launch import MAX_BLOCKS

THREADS = 256


@inlined
def locate(C, H, W):
    """(n, c, h, w) of this thread's element: 64-bit division once per block, 32-bit within it."""
    first = int64(cuda.blockIdx.x) * THREADS
    outputs = int64(H) * int64(W)
    plane = first // outputs
    place = uint32(first - plane * outputs) + uint32(cuda.threadIdx.x)
    if outputs < int64(2**31):
        plane += int64(place // uint32(outputs))
        place = uint32(place % uint32(outputs))
    return plane // int64(C), plane % int64(C), uint32(place // W), uint32(place % W)


def blocks_of(shape: tuple[int, ...]) -> int:
    """Blocks of so many threads."""
    return -(-math.prod(shape) // THREADS)


def too_many(shape: tuple[int, ...]) -> str | None:
    """Why elements cannot be numbered so, or None."""
    if math.prod(shape[2:]) >= 2**31:
        return "a plane has 2^31 elements or more"
    if blocks_of(shape) > MAX_BLOCKS:
        return "an array needs more blocks than a grid has"
    return None
