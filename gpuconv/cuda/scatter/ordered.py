"""Values put where their indices say, in the order of the values: a warp for each tile of an output plane.

    y[n, c, h, w] = the sum, or the last, of x[n, c, p, q] where indices[n, c, p, q] = h W + w

A tile is TILE consecutive places of a plane, and a block a warp, with their sums in shared memory (TILE
numbers of what is computed with). Values pass 32 at a time, one for each lane:

    lanes     e = p Q + q, of windows only those whose rows meet the tile; their indices side by side
    ballot    which of the indices lie in the tile: most often few or none, and then that was all
    in order  the place and value of each that does, told to all lanes; the lane place % 32 adds it to its sum

So a place's values come in their order to one lane, which alone touches its sum: no atomics, no barriers.
An index that is no place of its plane, and -1, meets no tile. It has 32 or 64 bits: the upper half of what
lies in `indices`, or for 32 bits the same word again, says what sign it has.
"""

import functools
import itertools
from collections.abc import Callable

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.device.division import divide, quotient, quotient_and_rest, with_reciprocals
from gpuconv.cuda.device.elements import ELEMENTS
from gpuconv.cuda.device.limits import ALL_LANES, LANES
from gpuconv.cuda.device.shuffles import make_shuffles
from gpuconv.cuda.language import cuda, int32, int64, types, uint32
from gpuconv.cuda.ptx.memory import load_if
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import MAX_BLOCKS, Launch, steps
from gpuconv.spec import ScatterLayouts, ScatterSpec

TILE = 1024
NO_PLACE = 0xFFFFFFFF


def make_function(dtype: str, combine: str) -> Callable[..., None]:
    """The function for sums, or for the last of each place."""
    element = ELEMENTS[dtype]
    scalar, stored, widen, narrow = element.scalar, element.stored, element.widen, element.narrow
    adds = combine == "sum"
    word_at, value_at = make_shuffles(uint32).at, make_shuffles(scalar).at

    def scatter(
        x, indices, y, x_n, x_c, x_p, x_q, i_n, i_c, i_p, i_q, y_n, y_c, y_h, y_w,  # strides in elements
        upper, C, P, size, tiles, is_wide, is_windowed, reach, top, stride,
        W, W_multiplier, W_shift, Q, Q_multiplier, Q_shift,
    ):  # fmt: skip
        lane = uint32(cuda.threadIdx.x)
        plane, tile = divide(uint32(cuda.blockIdx.x), tiles)
        n, c = divide(plane, C)
        begin = uint32(tile * uint32(TILE))
        count = min(uint32(size - begin), uint32(TILE))
        sums = cuda.shared.array(TILE, scalar)
        for place in range(lane, uint32(TILE), uint32(LANES)):
            sums[place] = scalar(0)

        first, last = int64(0), int64(P)
        if is_windowed != uint32(0):  # p stride - top + reach > the first row, p stride - top <= the last
            low = int64(quotient(begin, W_multiplier, W_shift)) + int64(top) - int64(reach)
            high = int64(quotient(uint32(begin + count - uint32(1)), W_multiplier, W_shift)) + int64(top)
            if low >= int64(0):
                first = int64(divide(uint32(low), stride)[0]) + int64(1)
            last = min(int64(divide(uint32(high), stride)[0]) + int64(1), last)
        end = uint32(last * int64(Q))
        values, places = int64(n) * x_n + int64(c) * x_c, int64(n) * i_n + int64(c) * i_c
        for start in range(uint32(first * int64(Q)), end, uint32(LANES)):
            e = uint32(start + lane)
            p, q = quotient_and_rest(e, (Q, Q_multiplier, Q_shift))
            word = places + int64(p) * i_p + int64(q) * i_q
            index = load_if(e < end, indices, word, uint32(NO_PLACE))
            sign = load_if(e < end, indices, word + upper, uint32(NO_PLACE))
            place = uint32(index - begin)
            is_here = (place < count) & ((is_wide == uint32(0)) | (sign == uint32(0)))
            if is_windowed != uint32(0):
                row = int64(p) * int64(stride) - int64(top)
                at = int64(index)
                is_here &= (at >= row * int64(W)) & (at < (row + int64(reach)) * int64(W))
            value = widen(load_if(is_here, x, values + int64(p) * x_p + int64(q) * x_q, stored(0)))
            waiting = uint32(cuda.ballot_sync(ALL_LANES, is_here))
            while waiting != uint32(0):
                source = int32(cuda.ffs(waiting) - 1)
                waiting &= uint32(waiting - uint32(1))
                to, added = word_at(place, source), value_at(value, source)
                if uint32(to % uint32(LANES)) == lane:
                    sums[to] = sums[to] + added if adds else added

        for place in range(lane, count, uint32(LANES)):
            h, w = quotient_and_rest(uint32(begin + place), (W, W_multiplier, W_shift))
            at = int64(n) * y_n + int64(c) * y_c + int64(h) * y_h + int64(w) * y_w
            y[at] = narrow(sums[place])

    return scatter


def make_kernel(dtype: str, combine: str) -> Kernel:
    """The kernel for a dtype and a way to combine."""
    pointer = types.CPointer(ELEMENTS[dtype].stored)
    types_of = {
        pointer: "x y", types.CPointer(uint32): "indices",
        int64: "x_n x_c x_p x_q i_n i_c i_p i_q y_n y_c y_h y_w upper",
    }  # fmt: skip
    return Kernel(
        f"scatter {dtype} {combine}", functools.partial(make_function, dtype, combine), types_of, LANES, 16
    )


KERNEL_OF = {key: make_kernel(*key) for key in itertools.product(ELEMENTS, ("sum", "last"))}
KERNELS = tuple(KERNEL_OF.values())


def _tiles(spec: ScatterSpec) -> int:
    return -(-spec.H * spec.W // TILE)


def unsupported(spec: ScatterSpec, layouts: ScatterLayouts, gpu: Gpu) -> str | None:
    rows = spec.rows
    reached = rows.size + sum(rows.pads) + rows.reach, (spec.P + 1) * rows.stride
    if max(spec.H * spec.W, spec.P * spec.Q) >= 2**31 - LANES or max(reached) >= 2**31:
        return "a plane has 2^31 elements or more, or a side"
    if spec.N * spec.C * _tiles(spec) > MAX_BLOCKS:
        return "the output needs more blocks than a grid has"
    return None


def worth(spec: ScatterSpec, layouts: ScatterLayouts, gpu: Gpu) -> bool:
    return True


def plan(spec: ScatterSpec, layouts: ScatterLayouts, gpu: Gpu) -> Launch:
    x, places, y = layouts
    rows, words = spec.rows, places.dtype.itemsize // 4  # of an index
    tiles = _tiles(spec)
    scalars = {
        **steps(x_ncpq=x.elements, i_ncpq=[step * words for step in places.elements], y_nchw=y.elements),
        "upper": words - 1, "C": spec.C, "P": spec.P, "size": spec.H * spec.W, "tiles": tiles,
        "is_wide": int(words > 1), "is_windowed": int(spec.is_windowed), "reach": rows.reach,
        "top": rows.pads[0], "stride": rows.stride, **with_reciprocals({"W": spec.W, "Q": spec.Q}),
    }  # fmt: skip
    return Launch(KERNEL_OF[spec.dtype, spec.combine], spec.N * spec.C * tiles, 0, scalars)


ALGORITHM = Algorithm(
    "scatter",
    takes={"combine": ("sum", "last"), "dtype": tuple(ELEMENTS)},
    unsupported=unsupported,
    worth=worth,
    plan=plan,
    fast_for="every such problem",
)
