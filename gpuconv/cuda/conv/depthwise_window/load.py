"""How a block of `conv_depthwise_window` fills shared memory for a stage: the images of its slots, and
weights.

The layout is that of `tiles.py`. All is copied asynchronously, element by element, since the columns
of an image are kept one beside the other; what lies outside of the image becomes zero. A warp takes 8 columns
of a slot and 4 rows at once: whole sectors of an image, and all banks. Coordinates are unsigned and wrap, so
that one comparison checks both borders.
"""

from collections.abc import Callable

from gpuconv.cuda.device.division import quotient, quotient_and_rest
from gpuconv.cuda.device.limits import LANES
from gpuconv.cuda.language import cuda, int32, int64, uint32
from gpuconv.cuda.ptx.copies import copy_async, element_pointer, shared_address
from gpuconv.cuda.ptx.memory import load4

COLUMNS, ROWS = 8, 4  # of the image, that a warp copies at once


def make_fills(threads: int, itemsize: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """(fill_images, fill_weights) for a block of so many threads, and elements of so many bytes."""
    THREADS, WARPS, SIZE = threads, threads // LANES, itemsize

    @cuda.jit(device=True, inline="always")
    def fill_images(
        shared, places, coordinates, x, x_h, x_w, thread, slots, patches, w_more, columns, lines, step_w, W,
        phases, row_step, phase_step, longer, skip_long, skip_short, residues_multiplier, residues_shift,
        residues, residue_pitch, phase_pitch, pitch, slot_pitch, x_tile,
    ):  # fmt: skip
        """Copy `lines` rows of each phase, and `columns` columns, of the image of each slot."""
        lane = uint32(thread % uint32(LANES))
        down = uint32(lane // uint32(COLUMNS))
        lane = uint32(lane - down * uint32(COLUMNS))
        further = uint32(row_step * uint32(ROWS))
        x_further = int64(further) * x_h
        slot, patch = uint32(0), uint32(thread // uint32(LANES))
        while patch >= patches:
            slot, patch = uint32(slot + uint32(1)), uint32(patch - patches)
        while slot < slots:
            column = uint32(patch * uint32(COLUMNS) + lane)
            offset = uint32(w_more + column * step_w)
            H, h_first, w_first, _ = load4(coordinates, slot * uint32(8) + uint32(4))
            inside = H if uint32(w_first + offset) < W else uint32(0)
            nth = quotient(column, residues_multiplier, residues_shift)
            place = uint32((column - nth * residues) * residue_pitch + nth)
            target = uint32(x_tile + slot * slot_pitch + place * pitch + down)
            phase = phases if column < columns else uint32(0)
            while phase != uint32(0):
                phase = uint32(phase - uint32(1))
                skip = skip_long if phase < longer else skip_short
                below = uint32(phase * phase_step + down * row_step)
                h = uint32(h_first + below)
                x_at = places[slot * uint32(4)] + int64(offset) * x_w + int64(below) * x_h
                source = element_pointer(x, x_at)
                to = shared_address(shared, uint32(target + phase * phase_pitch + skip))
                line = down
                while line < lines:
                    copy_async(1, to, source, 0, uint32(SIZE) if h < inside else uint32(0))
                    h, source = uint32(h + further), element_pointer(source, x_further)
                    to, line = uint32(to + uint32(ROWS * SIZE)), uint32(line + uint32(ROWS))
            patch = uint32(patch + uint32(WARPS))
            while patch >= patches:
                slot, patch = uint32(slot + uint32(1)), uint32(patch - patches)

    @cuda.jit(device=True, inline="always")
    def fill_weights(
        shared, places, coordinates, w, w_r, w_s, thread, slots, s_first, S, R, taps, taps_multiplier,
        taps_shift, phases, phases_multiplier, phases_shift, longer, skip_long, skip_short, w_phase, w_column,
        w_slot, w_tile,
    ):  # fmt: skip
        """[slot][column of taps][phase][tap]; what is skipped stays as it was."""
        tap_count = taps, taps_multiplier, taps_shift
        down, along = quotient_and_rest(uint32(THREADS), tap_count)  # from a tap of a thread to its next,
        w_further = int64(down) * w_r + int64(along) * w_s
        w_around = w_r - int64(taps) * w_s  # and if that is beyond the row
        r_first, first = quotient_and_rest(thread, tap_count)
        left = uint32(S - s_first)
        for slot in range(slots):
            at = uint32(uint32(slot) * uint32(4))
            bytes = uint32(SIZE) if coordinates[at + at + uint32(7)] != uint32(0) else uint32(0)
            s, r = first, r_first
            w_at = places[at + uint32(1)] + int64(r) * w_r + int64(uint32(s_first + s)) * w_s
            source = element_pointer(w, w_at)
            begin = uint32(w_tile + uint32(slot) * w_slot)
            while r < R:
                i, phase, skip = r, uint32(0), skip_short
                if phases != uint32(1):
                    i = quotient(r, phases_multiplier, phases_shift)
                    phase = uint32(r - i * phases)
                    skip = skip_long if phase < longer else skip_short
                target = shared_address(shared, uint32(begin + s * w_column + phase * w_phase + skip + i))
                copy_async(1, target, source, 0, bytes if s < left else uint32(0))
                s, r, source = uint32(s + along), uint32(r + down), element_pointer(source, w_further)
                if s >= taps:
                    s, r, source = uint32(s - taps), uint32(r + uint32(1)), element_pointer(source, w_around)

    return fill_images, fill_weights


@cuda.jit(device=True, inline="always")
def note_slot(places, coordinates, slot, x_place, w_place, H, h_first, w_first, valid):
    """Where the image and the weights of a slot begin; an image without rows if there is none."""
    places[slot * uint32(4)], places[slot * uint32(4) + uint32(1)] = x_place, w_place
    at = uint32(slot * uint32(8) + uint32(4))
    coordinates[at], coordinates[at + uint32(1)] = H if valid else uint32(0), h_first
    coordinates[at + uint32(2)], coordinates[at + uint32(3)] = w_first, uint32(valid)


@cuda.jit(device=True, inline="always")
def place_in_image(n, channel, h_first, w_first, x_n, x_c, x_h, x_w):
    return int64(n) * x_n + int64(channel) * x_c + int64(int32(h_first)) * x_h + int64(int32(w_first)) * x_w
