"""How `pool_separable` fills shared memory with a tile of the image."""

from gpuconv.cuda.device.division import quotient_and_rest
from gpuconv.cuda.device.elements import Element, Function, inlined, make_loader
from gpuconv.cuda.language import boolean, cuda, int32, uint32
from gpuconv.cuda.pool.separable.tiles import THREADS
from gpuconv.cuda.ptx.arithmetic import add_product
from gpuconv.cuda.ptx.memory import put_shared

UNDER_WAY = {1: 8, 2: 6, 4: 4}  # accesses of a thread at a time, by the elements of each


def make_fill(element: Element, width: int, identity: float) -> Function:
    """fill(...): the rows of the image that a tile has, `width` elements at a time, identities on the sides.

    Rows follow each other over all planes of the tile, `accesses` to a row; those above and below the image
    are left out. Columns lie by their phase, the remainder modulo a power of two, `mask` + 1; each phase
    begins `phase_pitch` behind the one before.
    """
    ACCESSES = UNDER_WAY[width]
    ELEMENTS, SIZE, scalar = ACCESSES * width, element.size, element.scalar
    read, put = make_loader(element, width, identity), make_put(width)

    def fill(
        base, thread, x, place, steps, h_first, w_first, H, W, planes, rows, filled, accesses, phases
    ):  # fmt: skip
        values = cuda.local.array(ELEMENTS, scalar)
        targets, wanted = cuda.local.array(ACCESSES, uint32), cuda.local.array(ACCESSES, boolean)
        pitch, mask, shift, phase_pitch = phases
        x_plane, x_h, x_w = steps
        skipped, fill_rows = filled
        items = uint32(uint32(planes * fill_rows[0]) * accesses[0])
        phase_bytes = uint32(phase_pitch * uint32(SIZE))
        item = thread
        while item < items:
            for i in range(ACCESSES):
                line, access = quotient_and_rest(item, accesses)
                plane, row = quotient_and_rest(line, fill_rows)
                row, column = uint32(row + skipped), uint32(access * uint32(width))
                inside = (item < items) & (uint32(h_first + row) < H)
                line = uint32(uint32(plane * rows[0]) + row)
                target = uint32(uint32(line * pitch) + uint32(uint32(column & mask) * phase_pitch))
                target = uint32(target + uint32(column >> uint32(shift & uint32(31))))
                targets[i], wanted[i] = uint32(base + uint32(target * uint32(SIZE))), inside
                source = add_product(add_product(place, int32(row), x_h), int32(column), x_w)
                source = add_product(source, int32(plane), x_plane)
                read(values, i * width, inside & (uint32(w_first + column) < W), x, source)
                item = uint32(item + uint32(THREADS))
            for i in range(ACCESSES):
                put(wanted[i], targets[i], values, i * width, mask, phase_bytes)

    return inlined(fill)


def make_put(width: int) -> Function:
    """put(condition, target, values, at, mask, phase_bytes): neighbouring columns, by their phases."""

    def put1(condition, target, values, at, mask, phase_bytes):
        put_shared(condition, target, (values[at],))

    def put2(condition, target, values, at, mask, phase_bytes):
        if mask == uint32(0):
            put_shared(condition, target, (values[at], values[at + 1]))
        else:
            for j in range(2):
                put_shared(condition, uint32(target + uint32(uint32(j) * phase_bytes)), (values[at + j],))

    def put4(condition, target, values, at, mask, phase_bytes):
        if mask == uint32(0):
            put_shared(condition, target, (values[at], values[at + 1], values[at + 2], values[at + 3]))
        elif mask == uint32(1):
            put_shared(condition, target, (values[at], values[at + 2]))
            put_shared(condition, uint32(target + phase_bytes), (values[at + 1], values[at + 3]))
        else:
            for j in range(4):
                put_shared(condition, uint32(target + uint32(uint32(j) * phase_bytes)), (values[at + j],))

    return inlined({1: put1, 2: put2, 4: put4}[width])
