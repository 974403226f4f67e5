"""Convolution as scalar products of windows and weights: patches of images, whole images, deep windows.

    y[n, k, p, q] = bias[k] + sum over d = (c, r, s) of w[k, d] * b[j, d]          j = (n, p, q)

b[j] is the window of output j, copied so that its elements lie side by side, as those of a weight do:

    w, rows of K     k0  [d0 d1 d2 ..][..]         vectors of d are multiplied, ROWS rows of w with VECTORS
    b, windows       j0  [d0 d1 d2 ..][..]         windows at a time, and the lanes are added up at the end

A task is up to WINDOWS windows, of one group, with up to CHUNK output channels. In the other algorithms the
lanes of a vector are outputs, and one of few outputs has empty lanes; here the lanes are what is summed. A
window is copied in runs of S elements, each image once for all output channels. Where the window is the whole
image, as of a fully connected layer, it is read as it lies.

What it does badly: windows of few elements, whose lanes are empty; and those that overlap, whose elements it
copies again and again for few output channels.
"""

import numba

from gpuconv.algorithm import Algorithm, always
from gpuconv.cpu.conv.taken import FINISHED, remark
from gpuconv.cpu.engine.borders import taps_between
from gpuconv.cpu.engine.compiled import TASKS, inner, kernel, workspace
from gpuconv.cpu.engine.cost import Amounts, by_distance, from_memory, priced, steps_of, weights_again
from gpuconv.cpu.engine.epilogue import convolved, epilogue_of, finish_pixels, starts
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import column_step, in_planes, in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import (
    LANES,
    ROWS,
    VECTORS,
    claim,
    lanes,
    load_apart,
    load_between,
    pointer,
    pointer_after,
    store,
)
from gpuconv.cpu.simd.dots import dot_products
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts
from gpuconv.workspace import beyond_limit

WINDOW_BYTES = 384 << 10  # of the windows of a task, which are read for each ROWS output channels
WINDOWS, CHUNK = 96, 128  # of a task at most, so that there are tasks for several threads
DEPTH = 2048  # products that are summed before the sum is added: in each lane a few dozen


def _signature(scalar):
    numbers, pair = numba.int64, numba.types.UniTuple(numba.int64, 2)
    return (
        *convolved(scalar), *[pair] * 3, *[numbers] * 4, numba.boolean, numbers, *[workspace(scalar)] * 2,
        *TASKS,
    )  # fmt: skip


@kernel(_signature)
def multiply_windows(
    x, w, bias, residual, y, epilogue, pads, stride, dilation, groups, windows, chunk, pitch, is_whole,
    x_step, copies, tile, counter, tasks,
):  # fmt: skip
    C_group, R, S = w.shape[1:]
    N, K, P, Q = y.shape
    K_group, depth, outputs = K // groups, C_group * R * S, N * P * Q
    chunks, blocks = -(-K_group // chunk), -(-outputs // windows)
    while True:
        task = claim(counter)  # = (g * blocks + block) * chunks + k_chunk
        if task >= tasks:
            break
        g, block = task // chunks // blocks, task // chunks % blocks
        k_begin = g * K_group + task % chunks * chunk
        k_end = min(k_begin + chunk, (g + 1) * K_group)
        first = block * windows
        count = min(windows, outputs - first)
        b, b_row = pointer(copies, 0), pitch
        if is_whole:
            b_row = x.strides[0] // x.itemsize
            b = pointer(x, first * b_row + g * C_group * (x.strides[1] // x.itemsize))
        else:
            for j in range(count):
                copy_window(
                    x, copies, j * pitch, first + j, g * C_group, w.shape, (P, Q), pads, stride, dilation,
                    x_step,
                )  # fmt: skip
        for d in range(0, max(1, depth), DEPTH):
            for k in range(k_begin, k_end, ROWS):
                for j in range(0, count, VECTORS):
                    at = (k - k_begin) * windows + j
                    dot_products(
                        min(ROWS, k_end - k), min(VECTORS, count - j), min(DEPTH, depth - d),
                        pointer(w, k * depth + d), depth, pointer_after(b, j * b_row + d), b_row,
                        pointer(tile, at), windows, starts(bias, k), d == 0,
                    )  # fmt: skip
        scatter(y, tile, windows, first, count, k_begin, k_end)
        j = first
        while j < first + count:
            n, pixel = j // (P * Q), j % (P * Q)
            some = min(P * Q - pixel, first + count - j)
            finish_pixels(residual, y, n, k_begin, k_end, pixel, some, epilogue)
            j += some


@inner
def copy_window(x, copies, at, j, c_begin, w_shape, outputs, pads, stride, dilation, x_step):
    """copies[at + (c R + r) S + s] = what tap (c, r, s) of output j reads; a vector may end behind."""
    _, C, R, S = w_shape
    H, W = x.shape[2:]
    P, Q = outputs
    n, h, v = j // (P * Q), j // Q % P * stride[0] - pads[0], j % Q * stride[1] - pads[1]
    begin, end = taps_between(v, S, dilation[1], 0, W)
    x_image, x_channel, x_row = (
        x.strides[0] // x.itemsize, x.strides[1] // x.itemsize, x.strides[2] // x.itemsize,
    )  # fmt: skip
    for c in range(C):
        for r in range(R):
            row, to = h + r * dilation[0], at + (c * R + r) * S
            first, last = (begin, end) if 0 <= row < H else (0, 0)
            if x_step != 0:
                place = n * x_image + (c_begin + c) * x_channel + row * x_row + v * x_step
                copy_run(pointer(x, place), dilation[1] * x_step, first, last, S, pointer(copies, to))
                continue
            for s in range(S):
                inside = first <= s < last
                copies[to + s] = x[n, c_begin + c, row, v + s * dilation[1]] if inside else 0


@inner
def copy_run(place, step, first, last, count, to):
    """`count` elements `step` apart, zero where not first <= s < last, in whole vectors."""
    for s in range(0, count, lanes(to)):
        if step == 1:
            store(to, s, load_between(place, s, first - s, last - s))
        else:
            store(to, s, load_apart(place, s * step, step, first - s, last - s))


@inner
def scatter(y, tile, windows, first, count, k_begin, k_end):
    """y of output first + j in channel k = tile[(k - k_begin) windows + j] for j < count."""
    P, Q = y.shape[2:]
    for k in range(k_begin, k_end):
        n, p, q = first // (P * Q), first // Q % P, first % Q
        for j in range(count):
            y[n, k, p, q] = tile[(k - k_begin) * windows + j]
            q += 1
            if q == Q:
                p, q = p + 1, 0
                if p == P:
                    n, p = n + 1, 0


def blocking(spec: ConvSpec) -> tuple[int, int, int, int]:
    """Windows and output channels of a task, elements from a window to the next, and tasks."""
    depth, L = max(1, spec.C_group * spec.R * spec.S), LANES[spec.dtype]
    pitch = -(-depth // L) * L
    outputs = max(1, spec.N * spec.P * spec.Q)
    most = max(VECTORS, min(WINDOWS, WINDOW_BYTES // (pitch * spec.itemsize)) // VECTORS * VECTORS)
    windows = min(-(-outputs // -(-outputs // most)), outputs)
    chunk = max(1, min(CHUNK if spec.K_group >= 4 * CHUNK else spec.K_group, spec.K_group))
    tasks = spec.groups * -(-outputs // windows) * -(-spec.K_group // chunk)
    return windows, chunk, pitch, tasks


def sees_whole_images(spec: ConvSpec, layouts: ConvLayouts) -> bool:
    """Each window is an image of its group's channels as it lies."""
    x, size = layouts.x, layouts.x.dtype.itemsize
    whole = (spec.R, spec.S, spec.pads) == (spec.H, spec.W, ((0, 0), (0, 0)))
    dense = spec.dilation[0] == 1 or spec.R == 1, spec.dilation[1] == 1 or spec.S == 1
    follow = spec.C_group == 1 or x.strides[1] == spec.H * spec.W * size
    single = spec.H * spec.W == 1 and all(step % size == 0 for step in x.strides)
    return whole and all(dense) and follow and (in_planes(x) or single)


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    windows, chunk, pitch, _ = blocking(spec)
    return beyond_limit((windows * pitch + LANES[spec.dtype] + windows * chunk) * spec.itemsize)


def amounts(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Amounts:
    """What it does, on one thread (`engine.cost`): runs of windows are copied by vectors or by elements."""
    L, depth = LANES[spec.dtype], spec.C_group * spec.R * spec.S
    windows, chunk, pitch, tasks = blocking(spec)
    outputs, chunks = spec.N * spec.P * spec.Q, -(-spec.K_group // chunk)
    tiles = sum(-(-count // VECTORS) * number for count, number in blocks_of(outputs, windows))
    cycles, pieces = steps_of(spec.K_group, VECTORS)
    runs = outputs * spec.C * spec.R * chunks
    runs = 0 if sees_whole_images(spec, layouts) else runs
    by_vectors = in_rows(layouts.x) and spec.dilation[1] == 1
    return {
        "call": 1,
        "tasks": tasks,
        "tiles": spec.groups * tiles * pieces * -(-depth // DEPTH),
        **by_distance(spec.groups * tiles * cycles * pitch / L, windows * pitch * spec.itemsize),
        "copied": runs * -(-spec.S // L) if by_vectors else 0,
        "elements": 0 if by_vectors else runs * spec.S,
        "stored": outputs * spec.K,
        "weights": weights_again(spec.K_group * depth * spec.itemsize, tasks // chunks),
        "memory": from_memory(spec),
    }


def blocks_of(outputs: int, windows: int) -> list[tuple[int, int]]:
    """(windows, tasks of so many)."""
    whole, rest = divmod(outputs, windows)
    return [(windows, whole), (rest, 1)]


def plan(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    windows, chunk, pitch, tasks = blocking(spec)
    (top, _), (left, _) = spec.pads
    return bind(
        multiply_windows, spec.dtype, tasks, spec.flops // 2,
        constants={
            "epilogue": epilogue_of(spec, layouts), "pads": (top, left), "stride": spec.stride,
            "dilation": spec.dilation, "groups": spec.groups, "windows": windows, "chunk": chunk,
            "pitch": pitch, "is_whole": sees_whole_images(spec, layouts), "x_step": column_step(layouts.x),
        },
        workspaces={"copies": windows * pitch + LANES[spec.dtype], "tile": windows * chunk},
        twice=not spec.epilogue.residual,
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_dots", FINISHED, unsupported, always, plan,
    fast_for="patches of images, windows of whole images, and few outputs of many channels",
    remark=remark, cost=priced("conv_dots", amounts),
)  # fmt: skip
