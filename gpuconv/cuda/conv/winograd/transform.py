"""The three transforms of F(2x2,3x3), and the kernel that transforms the weights.

A tile of 2 x 2 outputs of a channel reads 4 x 4 inputs d and a window of 3 x 3 weights g:

    y = A^T [ (G g G^T) * (B^T d B) ] A          * multiplies the 16 elements one by one

           1 0 0                    1  0 -1  0
    G = 1/2 1 1 1            B^T =  0  1  1  0            A^T = 1  1  1  0
        1/2 1 -1 1                  0 -1  1  0                  0  1 -1  1
           0 0 1                    0 -1  0  1

Transformed weights stand in memory as the main kernel takes them, in slabs of 8 input channels and blocks of
64 output channels of a group, both filled up with zeros:

    [group][block of channels][slab] [8 c][16 elements][64 k]  float32, 32 KB a slab

One block of the kernel makes one slab. It reads 64 runs of 72 taps, lanes side by side along them, into

    shared memory  [64 k][72 + 1]      18 KB; the pitch is odd, so lanes side by side along k meet no conflict

and a thread transforms two windows from there.
"""

from typing import Any

from gpuconv.cuda.device.division import divide
from gpuconv.cuda.language import cuda, float32, int64, types, uint32
from gpuconv.cuda.ptx.copies import element_pointer
from gpuconv.cuda.ptx.memory import load_if
from gpuconv.cuda.runtime.compiled import Kernel

BLOCK_K, SLAB_C, ELEMENTS = 64, 8, 16  # output channels of a block, input channels of a slab, of a tile
SLAB_WORDS = SLAB_C * ELEMENTS * BLOCK_K
THREADS, WARPS = 256, 8
TAPS = 9
RUN, PITCH = SLAB_C * TAPS, SLAB_C * TAPS + 1
WORDS = BLOCK_K * PITCH
PARTS, ROWS = -(-RUN // 32), BLOCK_K // WARPS  # of a warp's loads: along the taps, and along k
LOADS = PARTS * ROWS
ALONG_K = THREADS // BLOCK_K  # threads with the same k


@cuda.jit(device=True, inline="always")
def transform_input(d):
    """B^T d B of 16 elements in a local array, in place."""
    for j in range(4):
        d[j], d[4 + j], d[8 + j], d[12 + j] = _spread(d[j], d[4 + j], d[8 + j], d[12 + j])
    for i in range(4):
        j = 4 * i
        d[j], d[j + 1], d[j + 2], d[j + 3] = _spread(d[j], d[j + 1], d[j + 2], d[j + 3])


@cuda.jit(device=True, inline="always")
def _spread(a, b, c, d):
    return a - c, b + c, c - b, d - b


@cuda.jit(device=True, inline="always")
def transform_output(m):
    """A^T m A of 16 elements in a local array: the outputs of the first row, then of the second."""
    for j in range(4):
        m[j], m[4 + j] = _gather(m[j], m[4 + j], m[8 + j], m[12 + j])
    first, second = _gather(m[0], m[1], m[2], m[3])
    third, fourth = _gather(m[4], m[5], m[6], m[7])
    return first, second, third, fourth


@cuda.jit(device=True, inline="always")
def _gather(a, b, c, d):
    return a + b + c, b - c + d


def winograd_weights(
    w, u,
    w_k, w_c, w_r, w_s, u_first,  # in elements
    K, C, blocks_k, slabs,
):  # fmt: skip
    shared = cuda.shared.array(WORDS, float32)
    thread = uint32(cuda.threadIdx.x)
    lane, warp = thread % uint32(32), thread // uint32(32)

    # locate
    rest, slab = divide(uint32(cuda.blockIdx.x), slabs)
    g, block = divide(rest, blocks_k)
    k_first, c_first = uint32(block * uint32(BLOCK_K)), uint32(slab * uint32(SLAB_C))
    from_w = int64(uint32(g * K + k_first + warp)) * w_k + int64(c_first) * w_c

    # load: all of it is asked for before the first of it is put down
    found = cuda.local.array(LOADS, float32)
    for part in range(PARTS):
        place = uint32(lane + uint32(32 * part))
        c, tap = divide(place, uint32(TAPS))
        r, s = divide(tap, uint32(3))
        from_run = element_pointer(w, from_w + int64(c) * w_c + int64(r) * w_r + int64(s) * w_s)
        here = place < uint32(RUN) and uint32(c_first + c) < C
        rows = uint32(K - k_first) if here else uint32(0)
        for row in range(ROWS):
            there = uint32(warp + uint32(row * WARPS)) < rows
            found[part * ROWS + row] = load_if(there, from_run, int64(0), float32(0))
            from_run = element_pointer(from_run, int64(WARPS) * w_k)
    for part in range(PARTS):
        place = uint32(lane + uint32(32 * part))
        if place < uint32(RUN):
            for row in range(ROWS):
                k = uint32(warp + uint32(row * WARPS))
                shared[uint32(k * uint32(PITCH) + place)] = found[part * ROWS + row]
    cuda.syncthreads()

    # transform, store
    k = thread % uint32(BLOCK_K)
    for c in range(thread // uint32(BLOCK_K), SLAB_C, ALONG_K):
        window = cuda.local.array(TAPS, float32)
        for tap in range(TAPS):
            window[tap] = shared[uint32(k * uint32(PITCH) + uint32(c) * uint32(TAPS) + uint32(tap))]
        slab_first = u_first + int64(uint32(cuda.blockIdx.x)) * int64(SLAB_WORDS)
        to = slab_first + int64(uint32(uint32(c) * uint32(ELEMENTS * BLOCK_K) + k))
        for j in range(4):
            a, b, d = _column(window, j)
            u[to + int64(j * BLOCK_K)] = a
            u[to + int64((4 + j) * BLOCK_K)] = _half(a + d + b)
            u[to + int64((8 + j) * BLOCK_K)] = _half(a + d - b)
            u[to + int64((12 + j) * BLOCK_K)] = d


@cuda.jit(device=True, inline="always")
def _column(window, j):
    """The three rows of column j of g G^T."""
    return _of_row(window, 0, j), _of_row(window, 3, j), _of_row(window, 6, j)


@cuda.jit(device=True, inline="always")
def _of_row(window, first, j):
    a, b, c = window[first], window[first + 1], window[first + 2]
    if j == 0:
        return a
    if j == 3:
        return c
    return _half(a + c + b) if j == 1 else _half(a + c - b)


@cuda.jit(device=True, inline="always")
def _half(sum) -> Any:
    return float32(0.5) * sum


KERNEL = Kernel(
    "winograd_weights",
    lambda: winograd_weights,
    {types.CPointer(float32): "w u", int64: "w_k w_c w_r w_s u_first"},
    THREADS,
    blocks_per_sm=4,
)
