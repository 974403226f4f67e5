"""Global pooling: one window for each plane, as of an image that becomes a vector of its channels' means.

    y[n, c, 0, 0] = max, or sum / divisor, over the part of x[n, c] that the window covers

A task is some planes; each is read once, and LANES of them become LANES results together:

    plane i      h0 h1 h2 .. | h16 h17 ..     vectors of elements, row by row, or of the whole plane where its
                    \\  |  /                   rows lie side by side: 49 elements are 3 vectors and one more
    sums [i]     a vector for each plane      of sums; of a large plane four at a time, added pairwise from
                    \\  |  /                   block to block, which keeps the rounding error small
    y            a vector of planes           neighbouring lanes of two vectors make one, again and again

It gives no indices of the maxima, and knows no dilation.

Measured on 2026-11-22 on one core of an AMD EPYC (Zen 5, AVX-512), float32, in us beside PyTorch 2.13:

    means of             here    copy    avg_pool2d    mean
    8 x 2048 x 7 x 7       53      67           315      78
    8 x 64 x 112 x 112    431     982          3454     422
"""

import numba
import numpy as np

from gpuconv.algorithm import Algorithm
from gpuconv.cpu.engine.compiled import TASKS, Kernel, inlined, inner, source, target, workspace
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows, is_contiguous, reshaped
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.pool.reduction import (
    LEVELS,
    TERMS,
    combine,
    complete,
    complete_number,
    push,
    push_number,
)
from gpuconv.cpu.pool.taken import TAKEN
from gpuconv.cpu.pool.zeros import first_zero
from gpuconv.cpu.simd import (
    LANES,
    claim,
    even,
    has_zero,
    lanes,
    load,
    load_part,
    noinline,
    odd,
    pointer,
    pointer_after,
    prefetch,
    splat,
    store,
    store_part,
)  # fmt: skip
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import PoolLayouts

TASK = 32768  # elements of a task, if there are enough of them
BLOCK = 128  # vectors whose sum is added to the total
SHORT = 16  # vectors of a plane, up to which one sum at a time is accurate and quickest
PREFETCH = 1600  # elements ahead of those that are read


def _signature(divisor):
    """Argument types of `pool_planes`, where `divisor(scalar)` is the type of the divisor."""
    return lambda scalar: (
        source(scalar, 4), target(scalar, 4), divisor(scalar), *[numba.int64] * 2, numba.boolean, numba.int64,
        *[workspace(scalar)] * 2, *TASKS,
    )  # fmt: skip


def pool_planes(x, y, divisor, rows, columns, x_in_rows, chunk, sums, waiting, counter, tasks):
    """Maxima if `divisor` is None; else sums divided by it. A plane is `rows` rows of `columns` elements."""
    C = x.shape[1]
    chunks = -(-C // chunk)
    plane, pitch = x.strides[1] // x.itemsize, x.strides[2] // x.itemsize
    place = pointer(sums, 0)
    width = lanes(place)

    while True:
        task = claim(counter)  # = n * chunks + chunk of channels
        if task >= tasks:
            break
        n, first = task // chunks, task % chunks * chunk
        end = min(first + chunk, C)
        for begin in range(first, end, width):
            count = min(width, end - begin)
            planes = pointer(x[n], begin * plane)
            if x_in_rows and rows == 1 and columns <= SHORT * width:
                reduce_short(planes, plane, count, columns, divisor, sums)
            elif x_in_rows:
                for i in range(count):
                    image = pointer_after(planes, i * plane)
                    store(place, i * width, reduce_rows(image, rows, pitch, columns, divisor, sums, waiting))
            else:
                for i in range(count):
                    store(place, i * width, splat(identity_of(divisor, sums)))
                    sums[i * width] = reduce_elements(x[n, begin + i], divisor, sums, waiting)
            left = width
            while left > 1:
                left //= 2
                for i in range(left):
                    a, b = load(place, 2 * i * width), load(place, (2 * i + 1) * width)
                    store(place, i * width, combine(even(a, b), odd(a, b), divisor))
            total = load(place, 0) if divisor is None else load(place, 0) / splat(divisor)
            if y.strides[1] == y.itemsize:
                store_part(pointer(y[n], begin), 0, total, count)
            else:
                store(place, 0, total)
                for i in range(count):
                    y[n, begin + i, 0, 0] = sums[i]
            if divisor is None and has_zero(total):
                for c in range(begin, begin + count):
                    if y[n, c, 0, 0] == 0:
                        y[n, c, 0, 0] = first_zero(x[n, c], 0, 0, x.shape[2], x.shape[3], 1, 1)


max_planes = Kernel(pool_planes, _signature(lambda scalar: numba.none))
mean_planes = Kernel(pool_planes, _signature(lambda scalar: scalar))


@inlined
def identity_of(divisor, sums):
    """What changes nothing when it is combined with a value."""
    return sums.dtype.type(-np.inf if divisor is None else 0)


@inner
def reduce_short(planes, plane, count, columns, divisor, sums):
    """sums[i] = a vector that reduces to the same as planes[i plane + v], v < columns; for i < count."""
    noinline()
    place, identity = pointer(sums, 0), splat(identity_of(divisor, sums))
    width = lanes(place)
    full = columns - columns % width
    for i in range(count):
        image = pointer_after(planes, i * plane)
        total = load_part(image, full, columns - full, identity)
        for v in range(0, full, width):
            prefetch(image, v + PREFETCH)
            total = combine(total, load(image, v), divisor)
        store(place, i * width, total)


@inlined
def reduce_rows(place, rows, pitch, columns, divisor, sums, waiting):
    """A vector that reduces to the same as place[h pitch + v] for h < rows and v < columns."""
    identity = splat(identity_of(divisor, sums))
    width = lanes(place)
    full, fours = columns - columns % width, columns - columns % (4 * width)
    total, terms, blocks = identity, 0, 0
    for h in range(rows):
        at = h * pitch
        for begin in range(at, at + fours, BLOCK * width):
            a, b, c, d = identity, identity, identity, identity
            for v in range(begin, min(begin + BLOCK * width, at + fours), 4 * width):
                for ahead in range(v + PREFETCH, v + PREFETCH + 4 * width, width):
                    prefetch(place, ahead)
                a, b = combine(a, load(place, v), divisor), combine(b, load(place, v + width), divisor)
                c = combine(c, load(place, v + 2 * width), divisor)
                d = combine(d, load(place, v + 3 * width), divisor)
            total = combine(total, combine(combine(a, b, divisor), combine(c, d, divisor), divisor), divisor)
            terms += 1
            if terms >= TERMS and divisor is not None:
                blocks, total, terms = push(pointer(waiting, 0), blocks, total), identity, 0
        for v in range(at + fours, at + full, width):
            prefetch(place, v + PREFETCH)
            total = combine(total, load(place, v), divisor)
            terms += 1
        if full < columns:
            total = combine(total, load_part(place, at + full, columns - full, identity), divisor)
            terms += 1
        if terms >= TERMS and divisor is not None:
            blocks, total, terms = push(pointer(waiting, 0), blocks, total), identity, 0
    return total if divisor is None else complete(pointer(waiting, 0), blocks, total)


@inner
def reduce_elements(image, divisor, sums, waiting):
    """A plane whose elements are not adjacent."""
    total, terms, blocks = identity_of(divisor, sums), 0, 0
    for h in range(image.shape[0]):
        for v in range(image.shape[1]):
            value = image[h, v]
            if divisor is None:
                if value > total or value != value:
                    total = value
                continue
            if terms == TERMS:
                blocks, total, terms = push_number(waiting, blocks, total), identity_of(divisor, sums), 0
            total += value
            terms += 1
    return total if divisor is None else complete_number(waiting, blocks, total)


def unsupported(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> str | None:
    if spec.P * spec.Q > 1:
        return f"it takes one window for each plane, not {spec.P} x {spec.Q}"
    if spec.dilation != (1, 1):
        return "it knows no dilation"
    return None


def worth(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> bool:
    # beside pool_separable, us, one core: 8 x 2048 x 7 x 7 53 : 286, 8 x 64 x 112 x 112 380 : 1610;
    # beside pool_channels, channels last, 8 x 64 x 56 x 56 880 : 84, 8 x 2048 x 7 x 7 1497 : 74
    return spec.C == 1 or layouts.x.strides[1] != spec.itemsize


def covered(spec: PoolSpec) -> tuple[int, int]:
    """Rows and columns of x that the window covers."""
    (top, _), (left, _) = spec.pads
    return min(max(spec.R - top, 0), spec.H), min(max(spec.S - left, 0), spec.W)


def divisor_of(spec: PoolSpec) -> float | None:
    """What a sum is divided by; None for maxima."""
    if spec.reduction == "max":
        return None
    if spec.divisor_override is not None:
        return spec.divisor_override
    (top, bottom), (left, right) = spec.pads
    H, W = covered(spec)
    if spec.count_include_pad:
        H, W = min(spec.R, top + spec.H + bottom), min(spec.S, left + spec.W + right)
    return max(H * W, 1)


def plan(spec: PoolSpec, layouts: PoolLayouts, device: Processor) -> Run:
    H, W = covered(spec)
    if H * W == 0:
        outside = -np.inf if spec.reduction == "max" else 0
        return lambda x, y: y.fill(outside)
    x, y = layouts.x, layouts.y
    flat = is_contiguous(x) and is_contiguous(y) and (H, W) == (spec.H, spec.W)
    if flat:  # the planes of all images follow each other, each one row
        x, y = reshaped(x, 1, spec.N * spec.C, 1, H * W), reshaped(y, 1, spec.N * spec.C, 1, 1)
    else:
        x = x._replace(shape=(spec.N, spec.C, H, W))
    N, C = x.shape[:2]
    rows, columns = (1, H * W) if x.strides[2:] == (W * x.dtype.itemsize, x.dtype.itemsize) else x.shape[2:]
    chunk = max(1, min(TASK // (H * W), -(-N * C // (4 * device.threads)), C))
    reduce = bind(
        max_planes if spec.reduction == "max" else mean_planes, spec.dtype,
        tasks=N * -(-C // chunk),
        work=N * C * H * W // 2,  # two threads beat one from 2 million elements on
        constants={
            "divisor": divisor_of(spec), "rows": rows, "columns": columns, "x_in_rows": flat or in_rows(x),
            "chunk": chunk,
        },
        workspaces={"sums": LANES[spec.dtype] ** 2, "waiting": LEVELS * LANES[spec.dtype]},
    )  # fmt: skip
    if flat:
        return lambda x_array, y_array: reduce(x_array.reshape(x.shape), y_array.reshape(y.shape))
    return lambda x_array, y_array: reduce(x_array[:, :, :H, :W], y_array)


ALGORITHM = Algorithm(
    "pool_global", TAKEN, unsupported, worth, plan,
    fast_for="one window: means 4 to 8 times as fast as PyTorch's avg_pool2d, and level with its mean (one "
    "core of an AMD EPYC, Zen 5, 2026-11-22)",
)  # fmt: skip
