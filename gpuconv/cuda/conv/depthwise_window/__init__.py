"""Depthwise convolution with any kernel, stride and dilation: a thread sums outputs below each other.

What `conv_depthwise` runs where its strips do not fit: the formula is there. A block computes several tiles,
of one plane or of several (`window_tiles.py`), each in a slot of its own in shared memory:

        q ->                       a thread: `pixels` rows of a column, one below the other
    p   | * * * * * * *            lanes: columns, then the columns of the next slot, so that small planes
    |   | * * * * * * *            leave few idle
    v   | * * * * * * *            warps further on: the rows below

    table  [slot]                  int64 x 2, uint32 x 4: where its image and its weights begin
    images [slot][column][phase][row]    what the windows cover, zero outside of the image: column by column,
                                         rows one beside the other, so that 4 of them are one access
    w      [slot][column of taps][phase][tap]    up to 48 KB together

Column of taps by column of taps, a window slides down in registers (`rings.py`): per 4 taps and `pixels`
outputs one access of 128 bits to the image and one, the same for all lanes of a slot, to the weights. So more
than 9 instructions in 10 of the loop are products. Where shared memory does not hold all columns of taps,
they come in stages. The copies of a block overlap with the arithmetic of the other blocks of a
multiprocessor, not with its own. Sums of more than 256 products begin anew and are then added up.

Not yet run on a GPU: the tests execute its compiled PTX; speed is not measured.
"""

import functools

from numba import cuda, int64, types, uint32, uint64

from gpuconv.cuda.conv.depthwise_window.load import COLUMNS, make_fills, note_slot, place_in_image
from gpuconv.cuda.conv.depthwise_window.tiles import Rows, Shape, Tile, choose
from gpuconv.cuda.device.axis import Axis
from gpuconv.cuda.device.division import quotient, quotient_and_rest, reciprocal
from gpuconv.cuda.device.rings import CHUNK, WEIGHTS, make_anew, make_slide
from gpuconv.cuda.ptx.async_copy import commit_group, wait_group
from gpuconv.cuda.ptx.predicated import load_if, store_if
from gpuconv.cuda.device.elements import SCALARS
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import ConvSpec

# 28 rows fit images of 28 and 56 rows, 16 and 8 smaller ones and small batches.
SHAPES = {
    "float32": (Shape(256, 28, 32, 4, 2), Shape(128, 16, 24, 4, 5), Shape(128, 8, 16, 4, 6)),
    "float64": (Shape(128, 8, 16, 8, 4),),
}


@cuda.jit(device=True, inline="always")
def next_column(residue, x_column, tap_w, residues, residue_pitch, pitch):
    """Where the next column of taps begins: `tap_w` columns on, which are kept by their remainder."""
    residue = uint32(residue + tap_w)
    x_column = uint32(x_column + tap_w * residue_pitch * pitch)
    while residue >= residues:
        residue = uint32(residue - residues)
        x_column = uint32(x_column - (residues * residue_pitch - uint32(1)) * pitch)
    return residue, x_column


def make_kernel(shape: Shape, dtype: str) -> Kernel:
    scalar = SCALARS[dtype]
    PIXELS, RING, SIZE = shape.pixels, shape.ring, shape.itemsize
    slide, anew = make_slide(1, PIXELS, RING, SIZE), make_anew(PIXELS)
    fill_images, fill_weights = make_fills(shape.threads, SIZE)

    def depthwise_window(
        x, w, bias, y,
        x_n, x_c, x_h, x_w, w_k, w_r, w_s, bias_k, y_n, y_k, y_p, y_q,  # strides in elements
        tasks, K, H, W, R, S, P, Q, h_origin, w_origin, stride_h, stride_w, step_w, dilation_w, tap_w,
        apart, classes, phases, used_phases, row_step, phase_step, full, longer, skip_long, skip_short,
        slots, groups, tile_p, tile_q, tiles, tiles_q, taps, lines, columns, patches,
        residues, residue_pitch, phase_pitch, pitch, slot_pitch, w_phase, w_column, w_slot, x_tile, w_tile,
        has_bias, tile_q_m, tile_q_s, slots_m, slots_s, tiles_m, tiles_s, tiles_q_m, tiles_q_s, classes_m,
        classes_s, K_m, K_s, multiplier_m, multiplier_s, residues_m, residues_s,
        taps_m, taps_s, phases_m, phases_s,
    ):  # fmt: skip
        shared = cuda.shared.array(0, scalar, alignment=16)
        places = cuda.shared.array(0, int64, alignment=16)
        coordinates = cuda.shared.array(0, uint32, alignment=16)
        thread = uint32(cuda.threadIdx.x)
        zero = scalar(0)

        # locate
        rest, column = quotient_and_rest(thread, (tile_q, tile_q_m, tile_q_s))
        group, slot = quotient_and_rest(rest, (slots, slots_m, slots_s))
        task = uint32(uint32(cuda.blockIdx.x) * slots + slot)
        plane, tile = quotient_and_rest(task, (tiles, tiles_m, tiles_s))
        tile_row, tile_column = quotient_and_rest(tile, (tiles_q, tiles_q_m, tiles_q_s))
        above, of_class = quotient_and_rest(tile_row, (classes, classes_m, classes_s))
        p_first, q_first = uint32(above * tile_p * apart + of_class), uint32(tile_column * tile_q)
        n, k = quotient_and_rest(plane, (K, K_m, K_s))
        valid = task < tasks
        mine = valid & (group < groups)
        if (column == uint32(0)) & (group == uint32(0)):
            h_first = uint32(p_first * stride_h + h_origin)
            w_first = uint32(q_first * stride_w + w_origin)
            channel = quotient(k, multiplier_m, multiplier_s)
            x_place = place_in_image(n, channel, h_first, w_first, x_n, x_c, x_h, x_w)
            note_slot(places, coordinates, slot, x_place, int64(k) * w_k, H, h_first, w_first, valid)
        x_lane = uint32(x_tile + slot * slot_pitch + column * pitch + group * uint32(PIXELS))
        w_lane = uint32(w_tile + slot * w_slot)
        total = cuda.local.array(PIXELS, scalar)
        sums = cuda.local.array(PIXELS, scalar)
        weight = cuda.local.array(WEIGHTS, scalar)
        ring = cuda.local.array(RING, scalar)
        for i in range(PIXELS):
            total[i] = sums[i] = zero
        products = uint32(0)

        # load, stage by stage
        for s_first in range(uint32(0), S, taps):
            cuda.syncthreads()  # the stage before has been read
            fill_images(
                shared, places, coordinates, x, x_h, x_w, thread, slots, patches,
                uint32(uint32(s_first) * dilation_w), columns, lines, step_w, W, used_phases, row_step,
                phase_step, longer, skip_long, skip_short, residues_m, residues_s, residues, residue_pitch,
                phase_pitch, pitch, slot_pitch, x_tile,
            )  # fmt: skip
            fill_weights(
                shared, places, coordinates, w, w_r, w_s, thread, slots, uint32(s_first), S, R, taps, taps_m,
                taps_s, phases, phases_m, phases_s, longer, skip_long, skip_short, w_phase, w_column, w_slot,
                w_tile,
            )  # fmt: skip
            commit_group()
            wait_group(0)
            cuda.syncthreads()

            # accumulate
            left_s = uint32(0)
            if mine:
                left_s = min(taps, uint32(S - uint32(s_first)))
            residue, x_column, w_at_column = uint32(0), x_lane, w_lane
            while left_s != uint32(0):
                left_s = uint32(left_s - uint32(1))
                products = anew(products, R, total, sums, zero)
                phase = used_phases
                while phase != uint32(0):
                    phase = uint32(phase - uint32(1))
                    here, skip = full, skip_short
                    if phase < longer:
                        here, skip = uint32(full + uint32(1)), skip_long
                    x_at = uint64(uint32(x_column + phase * phase_pitch))
                    w_at = uint64(uint32(w_at_column + phase * w_phase))
                    slide(shared, sums, weight, ring, x_at, uint64(0), w_at, here, skip)
                w_at_column = uint32(w_at_column + w_column)
                residue, x_column = next_column(residue, x_column, tap_w, residues, residue_pitch, pitch)

        # store
        start = load_if(mine & (has_bias != uint32(0)), bias, int64(k) * bias_k, zero)
        p, q = uint32(p_first + group * uint32(PIXELS) * apart), uint32(q_first + column)
        place = int64(n) * y_n + int64(k) * y_k + int64(p) * y_p + int64(q) * y_q
        for i in range(PIXELS):
            store_if(mine & (p < P) & (q < Q), y, place, start + (total[i] + sums[i]))
            p, place = uint32(p + apart), place + int64(apart) * y_p

    arguments = (*[types.CPointer(scalar)] * 4, *[int64] * 12, *[uint32] * 66)
    name = f"conv_depthwise {dtype} any by {PIXELS}"
    return Kernel(name, depthwise_window, arguments, shape.threads, shape.blocks_per_sm)


BY_SHAPE = {shape: make_kernel(shape, dtype) for dtype, shapes in SHAPES.items() for shape in shapes}
KERNELS = tuple(BY_SHAPE.values())


@functools.lru_cache(maxsize=1024)
def tile_of(spec: ConvSpec) -> tuple[Shape, Tile] | None:
    """The kernel and the tile that are predicted to take least; None if no column of taps fits."""
    tiles = [(shape, choose(spec, shape)) for shape in SHAPES[spec.dtype]]
    fitting = [(shape, tile) for shape, tile in tiles if tile is not None]
    return min(fitting, key=lambda each: each[1].cycles, default=None)


def plan(spec: ConvSpec, strides: list[int], has_bias: int) -> Launch:
    """The launch for a problem; the strides, in elements, are those of x, w (k, r, s), bias and y."""
    found = tile_of(spec)
    assert found is not None
    shape, tile = found
    (top, _), (left, _) = spec.pads
    rows = Rows.of(spec)
    columns = Axis.of(tile.tile_q, spec.S, spec.stride[1], spec.dilation[1])
    tiles, patches = tile.classes * tile.tiles_p * tile.tiles_q, -(-tile.columns // COLUMNS)
    divisors = (
        tile.tile_q, tile.slots, tiles, tile.tiles_q, tile.classes, spec.K, spec.K_group,
        columns.pixel, tile.taps, rows.phases,
    )  # fmt: skip
    scalars = (
        *strides, tile.tasks(spec), spec.K, spec.H, spec.W, spec.R, spec.S, spec.P, spec.Q, -top, -left,
        *spec.stride, columns.step, spec.dilation[1], columns.tap if spec.S > 1 else 0,
        rows.apart, tile.classes, rows.phases, min(rows.phases, spec.R), rows.row_step, rows.phase_step,
        rows.full, rows.longer, -(rows.full + 1) % CHUNK, -rows.full % CHUNK,
        tile.slots, tile.groups, tile.groups * shape.pixels, tile.tile_q, tiles, tile.tiles_q, tile.taps,
        tile.lines, tile.columns, patches, columns.pixel, tile.residue_pitch, tile.phase_pitch, tile.pitch,
        tile.slot_pitch, tile.w_phase, tile.w_column, tile.w_slot, tile.x_tile, tile.w_tile, has_bias,
        *[number for divisor in divisors for number in reciprocal(divisor)],
    )  # fmt: skip
    return Launch(BY_SHAPE[shape], -(-tile.tasks(spec) // tile.slots), tile.bytes, scalars)
