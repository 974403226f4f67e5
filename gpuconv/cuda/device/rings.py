"""Sums along windows that slide over shared memory: elements in rings of registers, taps by fours.

For `rows` rows of `pixels` neighbouring outputs a thread keeps a ring of elements of each row, 4 taps of
weights, and the 4 that come next:

    elements    [ 0 1 2 3 | 4 5 6 7 | ... ]    pixel j meets tap i at element i + j
    a chunk       4 taps of all pixels         then the oldest 4 elements make place for the next
    a round       ring / 4 chunks              places are constants, so that nothing is moved

The first chunk leaves out the `skip` places that the count of taps lacks to a multiple of 4, so that nothing
but the taps is multiplied: a non-finite element reaches only windows that cover it. Taps and elements begin
`skip` places on, on 16 bytes otherwise. Up to ring + 4 elements beyond the window, and 8 weights beyond
the taps, are loaded and not used. All functions take

    shared, sums[rows * pixels], weight[8], ring[rows * ring], x_at, further, w_at

x_at and w_at being 64 bits wide, so that constants become offsets of the loads; `further` is the step from
row to row.
"""

from collections.abc import Callable, Sequence

from gpuconv.cuda.language import cuda, uint32, uint64
from gpuconv.cuda.ptx.arithmetic import add_products
from gpuconv.cuda.ptx.memory import load2, load4

CHUNK = 4  # taps, and elements of one load
WEIGHTS = 2 * CHUNK
MOST_PRODUCTS = 256  # of one sum, after which it should begin anew


def make_slide(rows: int, pixels: int, ring: int, itemsize: int = 4) -> Callable[..., None]:
    """slide(..., taps, skip) for a ring of an even number of chunks, of elements of 4 or 8 bytes."""
    load = _quad_loader(itemsize)

    def products(turn: int, taps: Sequence[int] = range(CHUNK)) -> list[tuple[int, int, int]]:
        """(sum, weight, element of the rings) of a chunk, the turn-th since the rings began."""
        return [
            (row * pixels + j, turn % 2 * CHUNK + tap, row * ring + (turn * CHUNK + j + tap) % ring)
            for tap in taps
            for row in range(rows)
            for j in range(pixels)
        ]

    chunks = ring // CHUNK
    turns = [_turn(add_products(products(turn)), load, rows, ring, turn) for turn in range(chunks)]
    after = _last(turns[0])
    for turn in reversed(turns[1:]):
        after = _before(turn, after)
    taps = [add_products(products(0, (tap,))) for tap in range(CHUNK)]
    return _whole(_beginning(taps, load, rows, ring), after, ring)


def _whole(begin: Callable, go_round: Callable, ring: int) -> Callable[..., None]:
    @cuda.jit(device=True, inline="always")
    def slide(shared, sums, weight, elements, x_at, further, w_at, taps, skip):
        begin(shared, sums, weight, elements, x_at, further, w_at, skip)
        x_at += uint64(ring + CHUNK)
        w_at += uint64(WEIGHTS)
        left = uint32(taps + skip - uint32(CHUNK))  # taps, by fours
        while left != uint32(0):
            go_round(shared, sums, weight, elements, x_at, further, w_at, left)
            left = uint32(left - min(left, uint32(ring)))
            x_at += uint64(ring)
            w_at += uint64(ring)

    return slide


def make_anew(outputs: int) -> Callable[..., int]:
    """anew(products, taps, total, sums, zero): the products of each sum after so many taps more.

    Where they would be more than MOST_PRODUCTS the sums go to the totals, and begin anew.
    """

    @cuda.jit(device=True, inline="always")
    def anew(products, taps, total, sums, zero):
        products = uint32(products + taps)
        if products > uint32(MOST_PRODUCTS):
            products = taps
            for i in range(outputs):
                total[i] += sums[i]
                sums[i] = zero
        return products

    return anew


def _quad_loader(itemsize: int) -> Callable[..., None]:
    """load(registers, place, shared, index): four elements, 128 bits at a time."""

    def load_once(registers, place, shared, index):
        a, b, c, d = load4(shared, index)
        registers[place], registers[place + 1], registers[place + 2], registers[place + 3] = a, b, c, d

    def load_twice(registers, place, shared, index):
        registers[place], registers[place + 1] = load2(shared, index)
        registers[place + 2], registers[place + 3] = load2(shared, index + uint64(2))

    return cuda.jit({4: load_once, 8: load_twice}[itemsize], device=True, inline="always")


def _beginning(taps: list[Callable], load: Callable, rows: int, ring: int) -> Callable[..., None]:
    add_first_tap, add_second_tap, add_third_tap, add_fourth_tap = taps

    @cuda.jit(device=True, inline="always")
    def begin(shared, sums, weight, elements, x_at, further, w_at, skip):
        for row in range(rows):
            for j in range(0, ring, CHUNK):
                load(elements, row * ring + j, shared, x_at + uint64(row) * further + uint64(j))
        load(weight, 0, shared, w_at)
        if skip == uint32(0):
            add_first_tap(sums, weight, elements)
        if skip < uint32(2):
            add_second_tap(sums, weight, elements)
        if skip < uint32(3):
            add_third_tap(sums, weight, elements)
        add_fourth_tap(sums, weight, elements)
        for row in range(rows):
            load(elements, row * ring, shared, x_at + uint64(row) * further + uint64(ring))
        load(weight, CHUNK, shared, w_at + uint64(CHUNK))

    return begin


def _turn(add: Callable, load: Callable, rows: int, ring: int, turn: int) -> Callable[..., None]:
    """run(...): a chunk, and the loads for those that follow."""
    old, ahead = turn * CHUNK, (turn + 1) % 2 * CHUNK
    on = (turn - 1) * CHUNK % ring  # from where a round's first turn, the second of a window, reads

    @cuda.jit(device=True, inline="always")
    def run(shared, sums, weight, elements, x_at, further, w_at):
        load(weight, ahead, shared, w_at + uint64(on))
        add(sums, weight, elements)
        for row in range(rows):
            load(elements, row * ring + old, shared, x_at + uint64(row) * further + uint64(on))

    return run


def _last(turn: Callable) -> Callable[..., None]:
    @cuda.jit(device=True, inline="always")
    def run(shared, sums, weight, elements, x_at, further, w_at, left):
        turn(shared, sums, weight, elements, x_at, further, w_at)

    return run


def _before(turn: Callable, after: Callable) -> Callable[..., None]:
    """A turn, and what comes after it if any of the `left` taps are then left."""

    @cuda.jit(device=True, inline="always")
    def run(shared, sums, weight, elements, x_at, further, w_at, left):
        turn(shared, sums, weight, elements, x_at, further, w_at)
        if left > uint32(CHUNK):
            after(shared, sums, weight, elements, x_at, further, w_at, uint32(left - uint32(CHUNK)))

    return run
