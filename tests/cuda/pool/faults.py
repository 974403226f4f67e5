"""Faults planted in the vectorised pools: the file, what, the old text, the new text, and possible verdicts.

Several verdicts can be right, because a stray index may be wrong, uninitialised or out of bounds, whichever
the executor meets first.
"""

from tests.cuda.mutation import BEYOND, MISALIGNED, RACE, UNSET, WRONG

ROWS_FAULTS = [
    (
        "pool.rows.load", "the row below the image",
        "wanted = inside & (uint32(h + uint32(i)) < H)",
        "wanted = inside & (uint32(h + uint32(i)) <= H)",
        f"{BEYOND} {WRONG}",
    ),
    (
        "pool.rows.load", "the first lane of a warp has no neighbour",
        "at_left = (lane == uint32(0)) | (vector == uint32(0))",
        "at_left = vector == uint32(0)",
        WRONG,
    ),
    (
        "pool.rows.load", "the last lane of a warp has no neighbour",
        "at_right = (lane == uint32(LANES - 1)) | (uint32(vector + uint32(1)) == vectors[0])",
        "at_right = uint32(vector + uint32(1)) == vectors[0]",
        WRONG,
    ),
    (
        "pool.rows.load", "a neighbour of the row above",
        "at_left = (lane == uint32(0)) | (vector == uint32(0))",
        "at_left = lane == uint32(0)",
        WRONG,
    ),
    (
        "pool.rows.load", "the column before the image",
        "wanted & at_left & (uint32(w - uint32(1)) < W)",
        "wanted & at_left",
        f"{BEYOND} {WRONG}",
    ),
    (
        "pool.rows.load", "the column behind the image",
        "wanted & at_right & (uint32(w + uint32(COLUMNS)) < W)",
        "wanted & at_right & (uint32(w + uint32(COLUMNS)) <= W)",
        f"{BEYOND} {WRONG}",
    ),
    (
        "pool.rows.windows", "the stride of windows",
        "line[j * STRIDE + 1 + s]",
        "line[j + 1 + s]",
        WRONG,
    ),
    (
        "pool.rows.windows", "the rows of a window",
        "across[(i * STRIDE + 1 + r) * OUTPUTS + j]",
        "across[(i * STRIDE + 1) * OUTPUTS + j]",
        WRONG,
    ),
    (
        "pool.rows.kernel", "a row below the output",
        "if inside & (p < P):",
        "if inside & (p <= P):",
        f"{BEYOND} {RACE} {WRONG}",
    ),
    (
        "pool.rows.kernel", "threads without an output",
        "if inside & (p < P):",
        "if p < P:",
        f"{BEYOND} {RACE}",
    ),
    (
        "pool.rows.kernel", "a vector over the end of a row",
        "(uint32(q + uint32(OUTPUTS)) <= Q)",
        "(q <= Q)",
        f"{BEYOND} {RACE} {WRONG}",
    ),
    (
        "pool.rows.kernel", "vectors that are not aligned",
        "(y_vectors != uint32(0)) & ",
        "",
        MISALIGNED,
    ),
    (
        "pool.rows.kernel", "the divisor's first row",
        "overlap(h + uint32(i * STRIDE), R,",
        "overlap(h, R,",
        WRONG,
    ),
    (
        "pool.rows.kernel", "the divisor of the user",
        "int32(taps * counted + divisor_override)",
        "int32(taps * counted + counted)",
        WRONG,
    ),
    (
        "device.shuffles", "a neighbour too far",
        "return before(value, 1)",
        "return before(value, 2)",
        WRONG,
    ),
    (
        "pool.rows.load", "the next row",
        "            place += x_h\n",
        "",
        f"{BEYOND} {WRONG}",
    ),
    (
        "pool.rows.load", "a thread too many",
        "return item < items,",
        "return item <= items,",
        f"{BEYOND} {RACE}",
    ),
    (
        "pool.rows.load", "the channel of a plane",
        "return item < items, n, c,",
        "return item < items, n, plane,",
        f"{BEYOND} {WRONG}",
    ),
    (
        "pool.rows.load", "a column too many",
        "(uint32(w + uint32(j)) < W)",
        "(uint32(w + uint32(j)) <= W)",
        f"{BEYOND} {WRONG}",
    ),
    (
        "pool.rows.load", "a vector behind the image",
        "condition & (w < W), x,",
        "condition, x,",
        f"{BEYOND} {WRONG}",
    ),
    (
        "pool.rows.store", "an output too many",
        "if uint32(j) < count:",
        "if uint32(j) <= count:",
        f"{BEYOND} {RACE} {WRONG}",
    ),
    (
        "pool.indices", "the first of equals",
        "wins = later > key",
        "wins = later >= key",
        WRONG,
    ),
    (
        "pool.rows.windows", "a -0 that is not noticed",
        "met |= is_negative_zero(row[i])",
        "met |= is_negative_zero(row[0])",
        WRONG,
    ),
    (
        "pool.rows.windows", "the last zero of a row",
        "value = combine(value, line[j * STRIDE + 1 + s])",
        "value = combine(line[j * STRIDE + 1 + s], value)",
        WRONG,
    ),
    (
        "pool.rows.windows", "the last row of zeros",
        "value = combine(value, across[(i * STRIDE + 1 + r) * OUTPUTS + j])",
        "value = combine(across[(i * STRIDE + 1 + r) * OUTPUTS + j], value)",
        WRONG,
    ),
    (
        "pool.rows.zeros", "a zero of any sign",
        "if widen(y[at]) == scalar(0):",
        "if widen(y[at]) == scalar(1):",
        WRONG,
    ),
    (
        "pool.rows.zeros", "the next row of zeros",
        "int64(i) * y_p",
        "int64(j) * y_p",
        f"{BEYOND} {RACE} {WRONG}",
    ),
    (
        "pool.rows.argmax", "zeros that threads without an output meet",
        "signs = inside & cuda",
        "signs = cuda",
        f"{BEYOND} {WRONG}",
    ),
    (
        "pool.rows.argmax", "padding that counts",
        "key(row[i * COLUMNS + j], known)",
        "key(row[i * COLUMNS + j], True)",
        WRONG,
    ),
    (
        "pool.rows.argmax", "the first column of an index",
        "uint32(w - uint32(LEFT))",
        "uint32(w)",
        WRONG,
    ),
]  # fmt: skip

HALVES_FAULTS = [
    (
        "device.elements", "the halves of a word",
        "values[at], values[at + 1] = unpair(word)",
        "values[at + 1], values[at] = unpair(word)",
        WRONG,
    ),
    (
        "device.elements", "the second word of two",
        "values[at + 2], values[at + 3] = unpair(b)\n\n    def eight",
        "values[at + 2], values[at + 3] = unpair(a)\n\n    def eight",
        WRONG,
    ),
    (
        "device.elements", "the third word of four",
        "values[at + 5] = unpair(c)",
        "values[at + 5] = unpair(b)",
        WRONG,
    ),
    (
        "device.elements", "padding of the upper halves",
        "* 0x10001",
        "* 1",
        WRONG,
    ),
    (
        "device.elements", "the halves of a result",
        "pair(row[2], row[3])",
        "pair(row[3], row[2])",
        WRONG,
    ),
    (
        "device.elements", "results that are not in a vector",
        "words_at(target, place)[0] =",
        "words_at(target, place)[1] =",
        f"{BEYOND} {RACE} {WRONG}",
    ),
    (
        "pool.rows.kernel", "vectors that are not aligned",
        "(y_vectors != uint32(0)) & ",
        "",
        MISALIGNED,
    ),
]  # fmt: skip

GLOBAL_FAULTS = [
    (
        "pool.global_.meeting", "lanes that meet twice",
        "((16, 4), (8, 2), (4, 1))",
        "((16, 4), (8, 2), (2, 1))",
        WRONG,
    ),
    (
        "pool.global_.meeting", "planes that stay",
        "choose(upper, high, low), choose(upper, low, high)",
        "choose(upper, high, low), choose(upper, high, low)",
        WRONG,
    ),
    (
        "pool.global_.meeting", "no barrier between the warps",
        "        cuda.syncthreads()\n",
        "",
        f"{RACE} {UNSET}",
    ),
    (
        "pool.global_.kernel", "an element behind the row",
        "uint32(at + own + uint32(j * PART)) < ends[j]",
        "uint32(at + own + uint32(j * PART)) <= ends[j]",
        f"{BEYOND} {WRONG}",
    ),
    (
        "pool.global_.kernel", "a plane too many",
        "if stores & (plane < planes):",
        "if stores:",
        BEYOND,
    ),
    (
        "pool.global_.load", "planes behind the last",
        "elements if plane < planes else uint32(0)",
        "elements",
        BEYOND,
    ),
    (
        "pool.global_.kernel", "stages that overlap",
        "end = min(columns, uint32(begin + uint32(STAGE * STEP)))",
        "end = columns",
        WRONG,
    ),
    (
        "pool.global_.meeting", "one warp alone",
        "if thread % uint32(LANES) == uint32(0):",
        "if thread == uint32(0):",
        UNSET,
    ),
    (
        "pool.global_.meeting", "a warp left out",
        "for mask in (4, 2, 1):",
        "for mask in (4, 2):",
        WRONG,
    ),
    (
        "pool.global_.kernel", "half of a vector",
        "value = combine(value, sums[j * width + i])",
        "pass",
        WRONG,
    ),
    (
        "pool.global_.load", "the parts of a plane",
        "uint32(j * PART)",
        "uint32(j)",
        f"{BEYOND} {WRONG}",
    ),
    (
        "pool.global_.load", "the next plane",
        "uint32(first + uint32(j * NEXT))",
        "first",
        WRONG,
    ),
    (
        "pool.indices", "the first of equals",
        "(other_index < index))",
        "(other_index != index))",
        WRONG,
    ),
    (
        "pool.global_.zeros", "the last zero",
        "return b if b < a else a",
        "return a if b < a else b",
        WRONG,
    ),
    (
        "pool.global_.zeros", "the sign of the first zero",
        "uint32(before << uint32(1)) |",
        "uint32(before) |",
        WRONG,
    ),
    (
        "pool.global_.zeros", "the row of a zero",
        "uint32(uint32(h) * elements)",
        "uint32(h)",
        WRONG,
    ),
    (
        "pool.global_.zeros", "one that is not found at once",
        "if PLANES == 1 and firsts[0] != uint32(NONE):\n                    break",
        "if PLANES == 1:\n                    break",
        WRONG,
    ),
    (
        "pool.global_.argmax", "the row of an index",
        "uint32(uint32(h) * W + w)",
        "uint32(uint32(h) * columns + w)",
        WRONG,
    ),
    (
        "pool.global_.argmax", "padding that counts",
        "key_of(values[j], w < ends[j])",
        "key_of(values[j], True)",
        WRONG,
    ),
]  # fmt: skip
