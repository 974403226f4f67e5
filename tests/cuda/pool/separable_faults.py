"""Faults planted in `pool_separable`: the file, what, the old and new text, possible verdicts, the case."""

from tests.cases import PoolCase
from tests.cuda.mutation import BEYOND, RACE, UNSET, WRONG

VECTORS = PoolCase("vectors, rows that chain", "max", (1, 3, 11, 24), 5, 1, 2)
PAIRS = PoolCase("pairs, several planes, strided", "max", (2, 3, 9, 14), 3, 2, 1)
MEANS = PoolCase(
    "means of parts of windows", "avg", (1, 2, 9, 15), 4, 1, ((1, 2), (2, 1)), count_include_pad=False
)
PLANES = PoolCase("several planes to a tile, but for the last", "max", (3, 67, 6, 6), 5, 1, 2)
HIGH = PoolCase("a high window", "avg", (1, 1, 9, 15), (5, 2), 1, 0)
RUNS = PoolCase("sums in runs, as a chain", "avg", (1, 1, 5, 112), (1, 107), 1)
STRIDED_RUNS = PoolCase("sums in runs, tap by tap", "avg", (1, 1, 70, 11), (66, 3), 2)
DILATED = PoolCase("dilated", "max", (1, 1, 9, 16), 3, 1, 1, 2)
TILES = PoolCase("several tiles", "max", (1, 1, 90, 330), (6, 5), 1, (3, 2))

FAULTS = [
    (
        "pool.separable.kernel", "no barrier after the load",
        "cuda.syncthreads_or(int32(met)) != int32(0)\n",
        "met\n",
        f"{RACE} {UNSET}", VECTORS,
    ),
    (
        "pool.separable.kernel", "no barrier between the passes",
        "        cuda.syncthreads()\n\n        # accumulate and store\n",
        "\n        # accumulate and store\n",
        f"{RACE} {UNSET}", VECTORS,
    ),
    (
        "device.reduction", "zeros around a maximum",
        "gather_maximum, -math.inf, False)",
        "gather_maximum, 0.0, False)",
        WRONG, VECTORS,
    ),
    (
        "pool.separable.kernel", "the planes behind the last",
        "min(planes_of_tile, uint32(planes_all - plane))",
        "planes_of_tile",
        f"{BEYOND} {RACE}", PLANES,
    ),
    (
        "pool.separable.kernel", "the tile's first row",
        "uint32(row * tile_p)",
        "row",
        f"{BEYOND} {RACE} {WRONG}", TILES,
    ),
    (
        "pool.separable.load", "a column behind the image",
        "(uint32(w_first + column) < W)",
        "(uint32(w_first + column) <= W)",
        f"{BEYOND} {WRONG}", PAIRS,
    ),
    (
        "pool.separable.load", "a row left out",
        "row + skipped",
        "row",
        f"{UNSET} {WRONG} {BEYOND}", PLANES,
    ),
    (
        "pool.separable.load", "the phase of a column",
        "uint32(column & mask) * phase_pitch",
        "mask * phase_pitch",
        f"{UNSET} {RACE} {WRONG}", PAIRS,
    ),
    (
        "pool.separable.load", "accesses behind the last",
        "inside = (item < items) &",
        "inside = (item == item) &",
        f"{RACE} {WRONG} {BEYOND}", PLANES,
    ),
    (
        "pool.separable.chains", "a tap too few in common",
        "uint32(taps - uint32(LAST)) * step",
        "uint32(taps - uint32(COUNT)) * step",
        WRONG, VECTORS,
    ),
    (
        "pool.separable.chains", "a tap of the window before",
        "out[i * width + j] = kept[j]\n\n",
        "out[i * width + j] = tap[j]\n\n",
        WRONG, VECTORS,
    ),
    (
        "pool.separable.chains", "a tap too few",
        "take(out, address, step, column, uint32(column + uint32(taps * dilation)),",
        "take(out, address, step, column, uint32(column + uint32((taps - uint32(1)) * dilation)),",
        WRONG, DILATED,
    ),
    (
        "pool.separable.chains", "a run that is lost",
        "runs[j], kept[j] = combine(runs[j], kept[j]), scalar(identity)",
        "runs[j], kept[j] = kept[j], scalar(identity)",
        WRONG, RUNS,
    ),
    (
        "pool.separable.chains", "runs that are not added up",
        "        if taps > uint32(RUN):\n            for i in range(OUTPUTS):",
        "        if taps > behind:\n            for i in range(OUTPUTS):",
        WRONG, STRIDED_RUNS,
    ),
    (
        "pool.separable.passes", "rows outside count",
        "(uint32(h + row) < H) &",
        "",
        f"{UNSET} {WRONG}", VECTORS,
    ),
    (
        "pool.separable.store", "a row below the output",
        "if uint32(p + uint32(i)) < P:",
        "if p < P:",
        f"{BEYOND} {RACE} {WRONG}", VECTORS,
    ),
    (
        "pool.separable.store", "the divisor's rows",
        "overlap(corner, R,",
        "overlap(corner, S,",
        WRONG, HIGH,
    ),
    (
        "pool.separable.store", "the divisor's columns",
        "uint32(uint32(q + uint32(j)) * stride[1])",
        "uint32(uint32(j) * stride[1])",
        WRONG, MEANS,
    ),
    (
        "pool.separable.load", "a -0 that is not noticed",
        "is_negative_zero(values[i])",
        "is_negative_zero(values[0])",
        WRONG, VECTORS,
    ),
    (
        "pool.separable.zeros", "the last zero of a row",
        "while s < S and not found:",
        "while s < S:",
        WRONG, VECTORS,
    ),
    (
        "pool.separable.zeros", "the window of a zero",
        "uint32(q * stride[1])",
        "uint32(q)",
        WRONG, PAIRS,
    ),
    (
        "pool.separable.zeros", "rows outside that count",
        "s = uint32(0) if uint32(h + down) < H else S",
        "s = uint32(0)",
        f"{UNSET} {WRONG}", VECTORS,
    ),
    (
        "pool.separable.zeros", "the plane of a zero",
        "uint32(uint32(plane * rows) + down)",
        "down",
        WRONG, PLANES,
    ),
    (
        "pool.separable.kernel", "no barrier before the zeros",
        "        if WATCHES and has_negative_zero:\n            cuda.syncthreads()\n",
        "        if WATCHES and has_negative_zero:\n",
        f"{RACE} {WRONG}", VECTORS,
    ),
    (
        "pool.separable.passes", "the next plane",
        "int32(plane), y_plane",
        "int32(0), y_plane",
        f"{RACE} {UNSET} {WRONG}", PLANES,
    ),
]  # fmt: skip
