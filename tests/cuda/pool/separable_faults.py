"""Faults planted in `pool_separable`: what, the file, the old and new text, possible verdicts, the case."""

from tests.cases import PoolCase
from tests.cuda.faults import BEYOND, RACE, UNSET, WRONG

VECTORS = PoolCase("vectors, rows that chain", "max", (1, 3, 11, 24), 5, 1, 2)
PAIRS = PoolCase("pairs, several planes, strided", "max", (2, 3, 9, 14), 3, 2, 1)
MEANS = PoolCase(
    "means of parts of windows", "avg", (1, 2, 9, 15), 4, 1, ((1, 2), (2, 1)), count_include_pad=False
)
PLANES = PoolCase("several planes to a tile, but for the last", "max", (3, 67, 6, 6), 5, 1, 2)
HIGH = PoolCase("a high window", "avg", (1, 1, 9, 15), (5, 2), 1, 0)
DILATED = PoolCase("dilated", "max", (1, 1, 9, 16), 3, 1, 1, 2)
TILES = PoolCase("several tiles", "max", (1, 1, 90, 330), (6, 5), 1, (3, 2))

FAULTS = [
    (
        "no barrier after the load", "pool.separable",
        "        cuda.syncthreads()\n\n        # accumulate\n", "\n        # accumulate\n",
        f"{RACE} {UNSET}", VECTORS,
    ),
    (
        "no barrier between the passes", "pool.separable",
        "        cuda.syncthreads()\n\n        # accumulate and store\n",
        "\n        # accumulate and store\n",
        f"{RACE} {UNSET}", VECTORS,
    ),
    ("zeros around a maximum", "pool.separable", "else -math.inf", "else 0.0", WRONG, VECTORS),
    (
        "the planes behind the last", "pool.separable",
        "min(planes_of_tile, uint32(planes_all - plane))", "planes_of_tile",
        f"{BEYOND} {RACE}", PLANES,
    ),
    (
        "the tile's first row", "pool.separable",
        "uint32(row * tile_p)", "row", f"{BEYOND} {RACE} {WRONG}", TILES,
    ),
    (
        "a column behind the image", "pool.separable.load",
        "(uint32(w_first + column) < W)", "(uint32(w_first + column) <= W)", f"{BEYOND} {WRONG}", PAIRS,
    ),
    ("a row left out", "pool.separable.load", "row + skipped", "row", f"{UNSET} {WRONG} {BEYOND}", PLANES),
    (
        "the phase of a column", "pool.separable.load",
        "uint32(column & mask) * phase_pitch", "mask * phase_pitch", f"{UNSET} {RACE} {WRONG}", PAIRS,
    ),
    (
        "accesses behind the last", "pool.separable.load", "inside = (item < items) &",
        "inside = (item == item) &", f"{RACE} {WRONG} {BEYOND}", PLANES,
    ),
    (
        "a tap too few in common", "pool.separable.chains",
        "uint32(taps - uint32(LAST)) * step", "uint32(taps - uint32(COUNT)) * step", WRONG, VECTORS,
    ),
    (
        "a tap of the window before", "pool.separable.chains",
        "out[i * width + j] = kept[j]\n\n", "out[i * width + j] = tap[j]\n\n",
        WRONG, VECTORS,
    ),
    (
        "a tap too few", "pool.separable.chains",
        "uint32(column + uint32(taps * dilation))", "uint32(column + uint32((taps - uint32(1)) * dilation))",
        WRONG, DILATED,
    ),
    (
        "rows outside count", "pool.separable.passes",
        "(uint32(h + row) < H) &", "", f"{UNSET} {WRONG}", VECTORS,
    ),
    (
        "a row below the output", "pool.separable.passes",
        "if uint32(p + uint32(i)) < P:", "if p < P:", f"{BEYOND} {RACE} {WRONG}", VECTORS,
    ),
    ("the divisor's rows", "pool.separable.passes", "overlap(corner, R,", "overlap(corner, S,", WRONG, HIGH),
    (
        "the divisor's columns", "pool.separable.passes",
        "uint32(uint32(q + uint32(j)) * stride[1])", "uint32(uint32(j) * stride[1])", WRONG, MEANS,
    ),
    (
        "the next plane", "pool.separable.passes",
        "int32(plane), y_plane", "int32(0), y_plane", f"{RACE} {UNSET} {WRONG}", PLANES,
    ),
]  # fmt: skip
