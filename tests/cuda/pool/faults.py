"""Faults planted in the vectorised pools: what, the file, the old text, the new text, and possible verdicts.

Several verdicts can be right, because a stray index may be wrong, uninitialised or out of bounds, whichever
the executor meets first.
"""

from tests.cuda.faults import BEYOND, RACE, UNSET, WRONG

ROWS_FAULTS = [
    (
        "the row below the image", "pool.rows.tiles",
        "wanted = inside & (uint32(h + uint32(i)) < H)",
        "wanted = inside & (uint32(h + uint32(i)) <= H)",
        f"{BEYOND} {WRONG}",
    ),
    (
        "the first lane of a warp has no neighbour", "pool.rows.tiles",
        "at_left = (lane == uint32(0)) | (vector == uint32(0))",
        "at_left = vector == uint32(0)",
        WRONG,
    ),
    (
        "the last lane of a warp has no neighbour", "pool.rows.tiles",
        "at_right = (lane == uint32(LANES - 1)) | (uint32(vector + uint32(1)) == vectors)",
        "at_right = uint32(vector + uint32(1)) == vectors",
        WRONG,
    ),
    (
        "a neighbour of the row above", "pool.rows.tiles",
        "at_left = (lane == uint32(0)) | (vector == uint32(0))",
        "at_left = lane == uint32(0)",
        WRONG,
    ),
    (
        "the column before the image", "pool.rows.tiles",
        "wanted & at_left & (uint32(w - uint32(1)) < W)", "wanted & at_left", f"{BEYOND} {WRONG}",
    ),
    (
        "the column behind the image", "pool.rows.tiles",
        "wanted & at_right & (uint32(w + uint32(COLUMNS)) < W)",
        "wanted & at_right & (uint32(w + uint32(COLUMNS)) <= W)",
        f"{BEYOND} {WRONG}",
    ),
    ("the stride of windows", "pool.rows", "line[j * STRIDE + s]", "line[j + s]", WRONG),
    (
        "the rows of a window", "pool.rows",
        "row[(first + r) * COLUMNS + j]", "row[(first + 1) * COLUMNS + j]", WRONG,
    ),
    (
        "a row below the output", "pool.rows",
        "if inside & (p < P):", "if inside & (p <= P):", f"{BEYOND} {RACE} {WRONG}",
    ),
    ("threads without an output", "pool.rows", "if inside & (p < P):", "if p < P:", f"{BEYOND} {RACE}"),
    (
        "a vector over the end of a row", "pool.rows",
        "(uint32(q + uint32(OUTPUTS)) <= Q)",
        "(q <= Q)",
        f"{BEYOND} {RACE} {WRONG}",
    ),
    ("vectors that are not aligned", "pool.rows", "(y_vectors != uint32(0)) & ", "", "MisalignedError"),
    ("the divisor's first row", "pool.rows", "overlap(h + uint32(first), R,", "overlap(h, R,", WRONG),
    (
        "the divisor of the user", "pool.rows",
        "int32(taps * counted + divisor_override)", "int32(taps * counted + counted)", WRONG,
    ),
    (
        "a neighbour too far", "pool.rows",
        "line[LEFT + COLUMNS - 1], 1)", "line[LEFT + COLUMNS - 1], 2)", WRONG,
    ),
    ("the next row", "pool.rows.tiles", "            place += x_h\n", "", f"{BEYOND} {WRONG}"),
    (
        "a thread too many", "pool.rows.tiles",
        "return item < items,", "return item <= items,", f"{BEYOND} {RACE}",
    ),
    (
        "the channel of a plane", "pool.rows.tiles",
        "return item < items, n, c,", "return item < items, n, plane,", f"{BEYOND} {WRONG}",
    ),
    (
        "a column too many", "pool.rows.tiles",
        "(uint32(w + uint32(j)) < W)", "(uint32(w + uint32(j)) <= W)", f"{BEYOND} {WRONG}",
    ),
    (
        "a vector behind the image", "pool.rows.tiles",
        "condition & (w < W), x,", "condition, x,", f"{BEYOND} {WRONG}",
    ),
    (
        "an output too many", "pool.rows.tiles",
        "if uint32(j) < count:", "if uint32(j) <= count:", f"{BEYOND} {RACE} {WRONG}",
    ),
    ("the first of equals", "pool.rows.argmax", "| ((other == best) & (place < index))", "", WRONG),
    (
        "the first row of equals", "pool.rows.argmax",
        "greater = key > best", "greater = key >= best", WRONG,
    ),
    (
        "padding that counts", "pool.rows.argmax",
        "key(row[i * COLUMNS + j], known)", "key(row[i * COLUMNS + j], True)", WRONG,
    ),
    (
        "the index on the right", "pool.rows.argmax",
        "uint32(corner + uint32(COLUMNS)), W)", "corner, W)", WRONG,
    ),
]  # fmt: skip

HALVES_FAULTS = [
    (
        "the halves of a word", "device.elements",
        "values[at], values[at + 1] = unpair(word)", "values[at + 1], values[at] = unpair(word)", WRONG,
    ),
    (
        "the second word of two", "device.elements",
        "values[at + 2], values[at + 3] = unpair(b)\n\n    def eight",
        "values[at + 2], values[at + 3] = unpair(a)\n\n    def eight", WRONG,
    ),
    (
        "the third word of four", "device.elements",
        "values[at + 5] = unpair(c)", "values[at + 5] = unpair(b)", WRONG,
    ),
    ("padding of the upper halves", "device.elements", "* 0x10001", "* 1", WRONG),
    ("the halves of a result", "device.elements", "pair(row[2], row[3])", "pair(row[3], row[2])", WRONG),
    (
        "results that are not in a vector", "device.elements",
        "words_at(target, place)[0] =", "words_at(target, place)[1] =", f"{BEYOND} {RACE} {WRONG}",
    ),
    ("vectors that are not aligned", "pool.rows", "(y_vectors != uint32(0)) & ", "", "MisalignedError"),
]  # fmt: skip

GLOBAL_FAULTS = [
    (
        "lanes that meet twice", "pool.global_",
        "((16, 4), (8, 2), (4, 1))", "((16, 4), (8, 2), (2, 1))", WRONG,
    ),
    (
        "planes that stay", "pool.global_",
        "given = low if upper else high", "given = high if upper else low", WRONG,
    ),
    ("no barrier between the warps", "pool.global_", "        cuda.syncthreads()\n", "", f"{RACE} {UNSET}"),
    (
        "an element behind the row", "pool.global_",
        "uint32(at + own + uint32(j * PART)) < ends[j]",
        "uint32(at + own + uint32(j * PART)) <= ends[j]",
        f"{BEYOND} {WRONG}",
    ),
    ("a plane too many", "pool.global_", "if stores & (plane < planes):", "if stores:", BEYOND),
    (
        "planes behind the last", "pool.global_.teams",
        "elements if plane < planes else uint32(0)", "elements",
        BEYOND,
    ),
    (
        "stages that overlap", "pool.global_",
        "end = min(columns, uint32(begin + uint32(STAGE * STEP)))", "end = columns", WRONG,
    ),
    (
        "one warp alone", "pool.global_",
        "if thread % uint32(32) == uint32(0):", "if thread == uint32(0):", UNSET,
    ),
    ("a warp left out", "pool.global_", "for mask in (4, 2, 1):", "for mask in (4, 2):", WRONG),
    ("half of a vector", "pool.global_", "value = both(value, sums[j * width + i])", "pass", WRONG),
    ("the parts of a plane", "pool.global_.teams", "uint32(j * PART)", "uint32(j)", f"{BEYOND} {WRONG}"),
    ("the next plane", "pool.global_.teams", "uint32(first + uint32(j * NEXT))", "first", WRONG),
    (
        "the first of equals", "pool.global_.argmax",
        "(other_index < index))", "(other_index != index))", WRONG,
    ),
    (
        "the row of an index", "pool.global_.argmax",
        "uint32(uint32(h) * W + w)", "uint32(uint32(h) * columns + w)", WRONG,
    ),
    (
        "padding that counts", "pool.global_.argmax",
        "key_of(values[j], w < ends[j])", "key_of(values[j], True)", WRONG,
    ),
]  # fmt: skip
