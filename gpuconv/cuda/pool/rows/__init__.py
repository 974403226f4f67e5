"""Pooling by rows in registers, for the windows of most networks: 2x2 and 3x3 of stride 2, 3x3 of stride 1.

    y[n, c, p, q] = max, or sum / divisor, over r, s of x[n, c, p stride + r - top, q stride + s - left]

A thread loads COLUMNS columns of the ROWS rows that TILE_P rows of output need, each with one access of up to
128 bits and all of them before the first is used. Windows are reduced in height first, in its own registers,
then in width, where the columns beside its own come from the neighbouring lanes by shuffles:

        lane 0    lane 1    lane 2           3x3 of stride 1, float32: COLUMNS = 4, LEFT = RIGHT = 1
    h  |. . . .| |. . . .| |. . . .|   \\
    h+1|. . . .| |. . . .| |. . . .|    > maxima or sums of R rows in each column
    h+2|. . . .| |. . . .| |. . . .|   /
             <- 1          1 ->              then of S columns: 4 outputs of lane 1

Threads are numbered flat, (((n C + c) tiles + tile of rows) vectors + vector of columns), so that small
planes leave no lanes idle. At both ends of a warp, and of a row whose first window begins inside the image, a
lane loads the column beside its own as well. Rows that two tiles share are requested twice, the others once:
with the output 1.00 to 1.16 times the least bytes on the planes of the benchmark's networks. Indices travel
with their maxima (`pool_rows_argmax.py`).

`wide` kernels need rows of whole aligned vectors, and padding on the left of 1 for 3x3, of 0 for 2x2; the
`narrow` ones take any strides and padding, element by element. Coordinates are unsigned and wrap, so that one
comparison checks both borders. No shared memory, no barrier. Other windows are left to `pool_direct`. Numbers
of 16 bits are float32 between the loader and the storer (`elements.py`), eight in an access.
Not yet run on a GPU: the tests execute its compiled PTX; speed is not measured.
"""

import functools
import itertools
import math

from numba import cuda, int32, int64, types, uint32

from gpuconv.algorithm import Algorithm
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.device.division import DIVIDED, LIMIT, divisors, overlap, reciprocal
from gpuconv.cuda.device.elements import ELEMENTS, add
from gpuconv.cuda.device.limits import ALL_LANES, VECTOR_BYTES
from gpuconv.cuda.pool.rows.argmax import make_argmax_kernel
from gpuconv.cuda.pool.rows.tiles import (
    BLOCKS_PER_SM,
    THREADS,
    WINDOWS,
    Tile,
    kernel_name,
    make_locate,
    make_row_storer,
    make_rows_loader,
)
from gpuconv.cuda.ptx.extremes import maximum
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import PoolSpec


def make_kernel(dtype: str, tile: Tile) -> Kernel:
    """Maxima, or means; a maximum takes no notice of the last six arguments."""
    element = ELEMENTS[dtype]
    scalar, divided = element.scalar, DIVIDED[element.arithmetic]
    R, STRIDE, TILE_P = tile.window.R, tile.window.stride, tile.tile_p
    COLUMNS, OUTPUTS, LEFT, RIGHT = tile.columns, tile.outputs, tile.left, tile.right
    ROWS, OWN, LINE = tile.rows, tile.rows * tile.columns, LEFT + COLUMNS + RIGHT
    AVERAGE = tile.kind == "avg"
    both, nothing = (add, 0.0) if AVERAGE else (maximum, -math.inf)
    locate, load = make_locate(tile), make_rows_loader(element, tile, nothing)
    store = make_row_storer(element, OUTPUTS)

    def pool_rows(
        x, y, x_n, x_c, x_h, x_w, y_n, y_c, y_p, y_q,  # strides in elements
        items, plane_items, plane_by, plane_shift, vectors, vectors_by, vectors_shift, C, C_by, C_shift,
        H, W, P, Q, h_origin, w_origin, y_vectors,
        rows_from, rows_to, columns_from, columns_to, counted, divisor_override,
    ):  # fmt: skip
        row = cuda.local.array(OWN, scalar)
        edge_left, edge_right = cuda.local.array(ROWS, scalar), cuda.local.array(ROWS, scalar)
        line, out = cuda.local.array(LINE, scalar), cuda.local.array(OUTPUTS, scalar)

        # locate
        inside, n, c, p_first, q, h, w, at_left, at_right = locate(
            items, plane_items, plane_by, plane_shift, vectors, vectors_by, vectors_shift, C, C_by, C_shift,
            h_origin, w_origin,
        )  # fmt: skip

        # load
        place = int64(n) * x_n + int64(c) * x_c + int64(int32(h)) * x_h + int64(int32(w)) * x_w
        load(row, edge_left, edge_right, x, place, x_h, x_w, inside, at_left, at_right, h, w, H, W)

        # accumulate and store
        place = int64(n) * y_n + int64(c) * y_c + int64(p_first) * y_p + int64(q) * y_q
        whole = (y_vectors != uint32(0)) & (uint32(q + uint32(OUTPUTS)) <= Q)
        columns = cuda.local.array(OUTPUTS, scalar)  # that the divisors count
        for j in range(OUTPUTS):
            taps = overlap(w + uint32(j * STRIDE - LEFT), R, columns_from, columns_to)
            columns[j] = scalar(int32(taps * counted + (int32(1) - counted)))
        for i in range(TILE_P):
            first = i * STRIDE
            taps = overlap(h + uint32(first), R, rows_from, rows_to)
            rows = scalar(int32(taps * counted + divisor_override))
            for j in range(COLUMNS):
                value = row[first * COLUMNS + j]
                for r in range(1, R):
                    value = both(value, row[(first + r) * COLUMNS + j])
                line[LEFT + j] = value
            if LEFT > 0:
                value = edge_left[first]
                for r in range(1, R):
                    value = both(value, edge_left[first + r])
                near = cuda.shfl_up_sync(ALL_LANES, line[LEFT + COLUMNS - 1], 1)
                line[0] = value if at_left else near
            if RIGHT > 0:
                value = edge_right[first]
                for r in range(1, R):
                    value = both(value, edge_right[first + r])
                near = cuda.shfl_down_sync(ALL_LANES, line[LEFT], 1)
                line[LINE - 1] = value if at_right else near
            p = uint32(p_first + uint32(i))
            for j in range(OUTPUTS):
                value = line[j * STRIDE]
                for s in range(1, R):
                    value = both(value, line[j * STRIDE + s])
                if AVERAGE:
                    value = divided(value, rows * columns[j])
                out[j] = value
            if inside & (p < P):
                store(out, y, place, y_q, whole, uint32(Q - q))
            place += y_p

    pointers = [types.CPointer(element.stored)] * 2
    arguments = (*pointers, *[int64] * 8, *[uint32] * 17, *[int32] * 6)
    return Kernel(kernel_name(dtype, tile), pool_rows, arguments, THREADS, BLOCKS_PER_SM[dtype])


def tile_for(spec: PoolSpec, wide: bool) -> Tile:
    kind = "argmax" if spec.return_indices else spec.op
    return Tile(WINDOWS[spec.R, spec.stride[0]], kind, spec.itemsize, wide)


def _made() -> dict[tuple[str, Tile], Kernel]:
    kinds = {"max": make_kernel, "avg": make_kernel, "argmax": make_argmax_kernel}
    return {
        (dtype, tile): kinds[tile.kind](dtype, tile)
        for dtype, window, kind, wide in itertools.product(ELEMENTS, WINDOWS.values(), kinds, (True, False))
        for tile in [Tile(window, kind, ELEMENTS[dtype].size, wide)]
    }


_KERNELS = _made()
KERNELS = tuple(_KERNELS.values())


def unsupported(spec: PoolSpec) -> str | None:
    square = spec.R == spec.S and spec.stride[0] == spec.stride[1] and spec.dilation == (1, 1)
    if not square or (spec.R, spec.stride[0]) not in WINDOWS:
        return "it takes windows of 2x2 and 3x3 with stride 2 and of 3x3 with stride 1, not dilated"
    if max(itertools.chain(*spec.pads)) > spec.R // 2:
        return "the padding is more than half of the window"
    if spec.H == 0 or spec.W == 0:
        return "the image is empty"
    if max(spec.H, spec.W) >= 2**30 or spec.H * spec.W >= 2**32 - 1:
        return "the image has a side of 2^30 or 2^32 elements or more"
    if max(spec.N * spec.C, _items(spec, tile_for(spec, wide=False)) + THREADS) >= LIMIT:
        return "there are 2^31 planes, or parts of them for one thread, or more"
    return None


def worth(spec: PoolSpec) -> bool:
    # Counted, not measured, on 4 x 64 x 64, float32, max 3 / 1, 3 / 2 and 2 / 2: here 27, 53 and 32
    # instructions an output and 1.14, 1.09 and 1.00 times the least bytes; pool_direct 600, 600 and 380, and
    # 4.9, 2.0 and 1.0.
    return True


def _items(spec: PoolSpec, tile: Tile) -> int:
    """Threads that have something to compute."""
    return spec.N * spec.C * -(-spec.P // tile.tile_p) * -(-spec.Q // tile.outputs)


def _in_vectors(strides: tuple[int, ...], itemsize: int, count: int, pointer: int) -> bool:
    """Whether each `count` elements of a row, from a multiple of `count` on, are one aligned vector."""
    size = count * itemsize
    return strides[3] == itemsize and not any(part % size for part in (*strides[:3], pointer))


@functools.lru_cache(maxsize=1024)
def plan(
    spec: PoolSpec,
    x_strides: tuple[int, ...],
    y_strides: tuple[int, ...],
    indices_strides: tuple[int, ...] | None,
    offsets: tuple[int, int, int] = (0, 0, 0),
) -> Launch:
    """The launch for a problem, the byte strides of its arrays, and their addresses modulo 16."""
    (top, _), (left, _) = spec.pads
    tile = tile_for(spec, wide=True)
    aligned = left == tile.left and spec.W % tile.columns == 0
    if not (aligned and _in_vectors(x_strides, spec.itemsize, tile.columns, offsets[0])):
        tile = tile_for(spec, wide=False)
    y_vectors = _in_vectors(y_strides, spec.itemsize, tile.outputs, offsets[1])
    strides = [step // spec.itemsize for step in (*x_strides, *y_strides)]
    if indices_strides is not None:
        y_vectors = y_vectors and _in_vectors(indices_strides, 8, tile.outputs, offsets[2])
        strides += [step // 8 for step in indices_strides]
    vectors, items = -(-spec.Q // tile.outputs), _items(spec, tile)
    plane_items = -(-spec.P // tile.tile_p) * vectors
    scalars = (
        *strides, items, plane_items, *reciprocal(plane_items), vectors, *reciprocal(vectors),
        spec.C, *reciprocal(spec.C), spec.H, spec.W, spec.P, spec.Q, -top, -left, int(y_vectors),
    )  # fmt: skip
    if not spec.return_indices:
        scalars += divisors(spec)
    return Launch(_KERNELS[spec.dtype, tile], -(-items // THREADS), 0, scalars)


def run(spec: PoolSpec, x: DeviceArray, y: DeviceArray, indices: DeviceArray | None) -> Launch:
    arrays = [x, y] if indices is None else [x, y, indices]
    offsets = tuple(0 if each is None else each.pointer % VECTOR_BYTES for each in (x, y, indices))
    launch = plan(spec, x.strides, y.strides, None if indices is None else indices.strides, offsets)
    return launch.start(y, *arrays)


ALGORITHM = Algorithm(
    "pool_rows", unsupported, worth, run,
    fast_for="2x2 and 3x3 windows of stride 2, and 3x3 of stride 1",
)  # fmt: skip
