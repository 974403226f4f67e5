"""The kernel of `conv_depthwise_window`, for a shape and a dtype."""

from collections.abc import Callable

from gpuconv.cuda.conv.depthwise_window.load import make_fills, note_slot, place_in_image
from gpuconv.cuda.conv.depthwise_window.store import make_store
from gpuconv.cuda.conv.depthwise_window.tiles import SHAPES, WindowShape
from gpuconv.cuda.device.division import quotient, quotient_and_rest
from gpuconv.cuda.device.elements import SCALARS
from gpuconv.cuda.device.rings import WEIGHTS, make_anew, make_slide
from gpuconv.cuda.language import cuda, int64, types, uint32, uint64
from gpuconv.cuda.ptx.copies import commit_group, wait_group
from gpuconv.cuda.runtime.compiled import Kernel


@cuda.jit(device=True, inline="always")
def next_column(residue, x_column, tap_w, residues, residue_pitch, pitch):
    """Where the next column of taps begins: `tap_w` columns on, which are kept by their remainder."""
    residue = uint32(residue + tap_w)
    x_column = uint32(x_column + tap_w * residue_pitch * pitch)
    while residue >= residues:
        residue = uint32(residue - residues)
        x_column = uint32(x_column - (residues * residue_pitch - uint32(1)) * pitch)
    return residue, x_column


def make_function(shape: WindowShape, dtype: str) -> Callable[..., None]:
    scalar = SCALARS[dtype]
    PIXELS, RING, SIZE = shape.pixels, shape.ring, shape.itemsize
    slide, anew = make_slide(1, PIXELS, RING, SIZE), make_anew(PIXELS)
    store = make_store(PIXELS, dtype)
    fill_images, fill_weights = make_fills(shape.threads, SIZE)

    def conv_depthwise_window(
        x, w, bias, y,
        x_n, x_c, x_h, x_w, w_k, w_r, w_s, bias_k, y_n, y_k, y_p, y_q,  # strides in elements
        tasks, K, H, W, R, S, P, Q, h_origin, w_origin, stride_h, stride_w, step_w, dilation_w, tap_w,
        spacing, classes, phases, used_phases, row_step, phase_step, full, longer, skip_long, skip_short,
        slots, groups, tile_p, tile_q, tiles, tiles_q, taps, lines, columns, patches,
        residues, residue_pitch, phase_pitch, pitch, slot_pitch, w_phase, w_column, w_slot, x_tile, w_tile,
        has_bias, tile_q_multiplier, tile_q_shift, slots_multiplier, slots_shift,
        tiles_multiplier, tiles_shift, tiles_q_multiplier, tiles_q_shift, classes_multiplier, classes_shift,
        K_multiplier, K_shift, K_group_multiplier, K_group_shift, residues_multiplier, residues_shift,
        taps_multiplier, taps_shift, phases_multiplier, phases_shift,
    ):  # fmt: skip
        shared = cuda.shared.array(0, scalar, alignment=16)
        places = cuda.shared.array(0, int64, alignment=16)
        coordinates = cuda.shared.array(0, uint32, alignment=16)
        thread = uint32(cuda.threadIdx.x)
        zero = scalar(0)

        # locate
        rest, column = quotient_and_rest(thread, (tile_q, tile_q_multiplier, tile_q_shift))
        group, slot = quotient_and_rest(rest, (slots, slots_multiplier, slots_shift))
        task = uint32(uint32(cuda.blockIdx.x) * slots + slot)
        plane, tile = quotient_and_rest(task, (tiles, tiles_multiplier, tiles_shift))
        tile_row, tile_column = quotient_and_rest(tile, (tiles_q, tiles_q_multiplier, tiles_q_shift))
        above, of_class = quotient_and_rest(tile_row, (classes, classes_multiplier, classes_shift))
        p_first, q_first = uint32(above * tile_p * spacing + of_class), uint32(tile_column * tile_q)
        n, k = quotient_and_rest(plane, (K, K_multiplier, K_shift))
        valid = task < tasks
        mine = valid & (group < groups)
        if (column == uint32(0)) & (group == uint32(0)):
            h_first = uint32(p_first * stride_h + h_origin)
            w_first = uint32(q_first * stride_w + w_origin)
            channel = quotient(k, K_group_multiplier, K_group_shift)
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
                phase_step, longer, skip_long, skip_short, residues_multiplier, residues_shift, residues,
                residue_pitch, phase_pitch, pitch, slot_pitch, x_tile,
            )  # fmt: skip
            fill_weights(
                shared, places, coordinates, w, w_r, w_s, thread, slots, uint32(s_first), S, R, taps,
                taps_multiplier, taps_shift, phases, phases_multiplier, phases_shift, longer, skip_long,
                skip_short, w_phase, w_column, w_slot, w_tile,
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
        store(
            total, sums, bias, bias_k, has_bias, y, (y_n, y_k, y_p, y_q), n, k, mine, p_first, q_first, group,
            column, spacing, P, Q,
        )  # fmt: skip

    return conv_depthwise_window


def make_kernel(shape: WindowShape, dtype: str) -> Kernel:
    """The kernel for a shape and a dtype."""
    return Kernel(
        f"conv_depthwise_window {dtype} any by {shape.pixels}",
        lambda: make_function(shape, dtype),
        {
            types.CPointer(SCALARS[dtype]): "x w bias y",
            int64: "x_n x_c x_h x_w w_k w_r w_s bias_k y_n y_k y_p y_q",
        },
        shape.threads,
        shape.blocks_per_sm,
    )


KERNELS_BY_SHAPE = {shape: make_kernel(shape, dtype) for dtype, shapes in SHAPES.items() for shape in shapes}
