"""Convolution of few input channels: stems, filters of a few images, small networks.

    y[n, k, p, q] = bias[k] + sum over d = (c, r, s) of w[k, d] * x[n, g C/G + c, p stride + r dilation -
    top, ..]

A task is one band (see `bands`): what a block of output rows of one image and group sees, of all input
channels, with the zeros around it, in the first-level cache. There each tap d of a vector of outputs is a
vector at a constant offset, so that nothing is copied for each tap as in `conv_implicit_gemm`:

    band + offsets[0]     . . [vector] . .     * w[k, 0]     for up to ROWS output channels k, and VECTORS
    band + offsets[1]     . . . [vector] .     * w[k, 1]     vectors of outputs, which may be pieces of
    ..                                                       different rows, summed in registers

Sums of more than DEPTH products are added up piece by piece, which keeps their rounding error small. The band
of many channels does not fit into a cache: then other algorithms are better.
"""

from functools import lru_cache

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, always
from gpuconv.cpu.conv.bands import Bands, block_of, blocks_along, copied_by, cut, load_band
from gpuconv.cpu.conv.taken import FINISHED, remark
from gpuconv.cpu.engine.compiled import TASKS, kernel, workspace
from gpuconv.cpu.engine.cost import Amounts, by_distance, from_memory, priced, steps_of
from gpuconv.cpu.engine.epilogue import convolved, epilogue_of, finish_block, starts
from gpuconv.cpu.engine.launch import Run, bind
from gpuconv.cpu.engine.layout import in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.simd import LANES, ROWS, VECTORS, claim, lanes, pointer
from gpuconv.cpu.simd.gather import gathered_product
from gpuconv.spec import ConvSpec
from gpuconv.spec.layouts import ConvLayouts
from gpuconv.workspace import beyond_limit

DEPTH = 160  # products that are summed before the sum is added to y


def _signature(scalar):
    numbers, buffer = numba.int64, workspace(scalar)
    pair, table = numba.types.UniTuple(numbers, 2), workspace(numbers)
    return (
        *convolved(scalar), *[pair] * 4, table, numbers, pair, numbers, numba.boolean, buffer, buffer,
        table, *TASKS,
    )  # fmt: skip


@kernel(_signature)
def multiply_bands(
    x, w, bias, residual, y, epilogue, corner, stride, dilation, block, offsets, width, pitches, groups,
    direct, band, tile, places, counter, tasks,
):  # fmt: skip
    C_group, R, S = w.shape[1:]
    K, P, Q = y.shape[1:]
    K_group = K // groups
    pitch, plane = pitches
    channel = stride[0] * stride[1] * plane
    depth = C_group * R * S
    L = lanes(band)
    y_row, y_plane = y.strides[2] // y.itemsize, y.strides[1] // y.itemsize

    while True:
        task = claim(counter)
        if task >= tasks:
            break
        n, g, p, q, rows, columns = block_of(task, groups, block, P, Q)
        seen = (rows - 1) * stride[0] + (R - 1) * dilation[0] + 1
        h, v = p * stride[0] - corner[0], q * stride[1] - corner[1]
        for c in range(C_group):
            load_band(band, c * channel, x[n, g * C_group + c], h, v, seen, width, stride, pitch, plane)

        # the vectors of outputs of the block: where they begin in the band and in y, and how many lanes count
        count, to_row, to_plane = 0, pitch, block[0] * pitch
        if direct:
            to_row, to_plane = y_row, y_plane
        for t in range(rows):
            for j in range(0, columns, L):
                places[3 * count], places[3 * count + 1] = t * pitch + j, t * to_row + j
                places[3 * count + 2] = min(L, columns - j)
                count += 1
        places[3 * count : 3 * (count + VECTORS)] = 0

        for k in range(g * K_group, (g + 1) * K_group, ROWS):
            some = min(ROWS, (g + 1) * K_group - k)
            to = pointer(y[n, k, p], q) if direct else pointer(tile, 0)
            for i in range(0, count, VECTORS):
                for d in range(0, max(1, depth), DEPTH):
                    gathered_product(
                        some, min(DEPTH, depth - d), pointer(w, k * depth + d), depth, pointer(band, 0),
                        pointer(places, 3 * i), pointer(offsets, d), to, to_plane, starts(bias, k), d == 0,
                    )  # fmt: skip
            if not direct:
                for i in range(some):
                    for t in range(rows):
                        for j in range(columns):
                            y[n, k + i, p + t, q + j] = tile[i * to_plane + t * pitch + j]
            finish_block(residual, y, n, k, k + some, p, p + rows, q, columns, epilogue)


@lru_cache(maxsize=256)
def bands_of(spec: ConvSpec) -> Bands:
    """How `spec` is cut into bands."""
    return cut(spec, 1, VECTORS * LANES[spec.dtype])


def offsets_of(spec: ConvSpec) -> np.ndarray:
    """Where each tap (c, r, s) finds its first element in a band."""
    bands = bands_of(spec)
    channel = spec.stride[0] * spec.stride[1] * bands.plane
    taps = [
        c * channel + bands.row(spec, r) + bands.column(spec, s)
        for c in range(spec.C_group)
        for r in range(spec.R)
        for s in range(spec.S)
    ]
    return np.array(taps, np.int64)


def _sizes(spec: ConvSpec) -> tuple[int, int, int]:
    """Elements of the band and of the tile of a thread, and numbers of its table of vectors."""
    bands = bands_of(spec)
    vectors = bands.P * -(-bands.Q // LANES[spec.dtype])
    return bands.size, ROWS * bands.P * bands.pitch, 3 * (vectors + VECTORS)


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    band, tile, table = _sizes(spec)
    needed = (band + tile) * spec.itemsize + 8 * (table + spec.C_group * spec.R * spec.S)
    return beyond_limit(needed)


def amounts(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Amounts:
    """What it does, on one thread (`engine.cost`)."""
    bands, lanes = bands_of(spec), LANES[spec.dtype]
    tiles = 0
    for rows, row_blocks in blocks_along(spec.P, bands.P):
        for columns, column_blocks in blocks_along(spec.Q, bands.Q):
            tiles += row_blocks * column_blocks * -(-rows * -(-columns // lanes) // VECTORS)
    tiles *= spec.N * spec.groups
    depth = spec.C_group * spec.R * spec.S
    cycles, pieces = steps_of(spec.K_group, VECTORS)
    return {
        "call": 1,
        "tasks": bands.tasks(spec),
        "tiles": tiles * pieces * -(-max(depth, 1) // DEPTH),
        **by_distance(tiles * cycles * depth, bands.size * spec.itemsize),
        **copied_by(spec, bands, in_rows(layouts.x)),
        "stored": 0 if in_rows(layouts.y) else spec.N * spec.K * spec.P * spec.Q,
        "taps": depth,
        "memory": from_memory(spec),
    }


def plan(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    bands = bands_of(spec)
    (top, _), (left, _) = spec.pads
    band, tile, places = _sizes(spec)
    return bind(
        multiply_bands, spec.dtype, bands.tasks(spec), spec.flops // 2,
        constants={
            "epilogue": epilogue_of(spec, layouts), "corner": (top, left), "stride": spec.stride,
            "dilation": spec.dilation, "block": (bands.P, bands.Q), "offsets": offsets_of(spec),
            "width": bands.width,
            "pitches": (bands.pitch, bands.plane), "groups": spec.groups, "direct": in_rows(layouts.y),
        },
        workspaces={"band": band, "tile": tile},
        tables={"places": places},
        twice=not spec.epilogue.residual,
    )  # fmt: skip


ALGORITHM = Algorithm(
    "conv_small", FINISHED, unsupported, always, plan,
    fast_for="few input channels: 0.8 to 5 times as fast as PyTorch 2.13 on one core (AMD Zen 5, November "
    "2026)",
    remark=remark, cost=priced("conv_small", amounts),
)  # fmt: skip
