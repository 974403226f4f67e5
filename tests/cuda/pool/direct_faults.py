"""Faults planted in `pool_direct`: the file, what, the old text, the new text, and possible verdicts."""

from tests.cuda.mutation import BEYOND, RACE, WRONG

FAULTS = [
    (
        "device.windows", "the last place inside",
        "* int64(dilation) + int64(1), int64(size))",
        "* int64(dilation) + int64(1), int64(size) + int64(1))",
        f"{BEYOND} {WRONG}",
    ),
    (
        "device.windows", "a window before the image",
        "        start += int64(missed) * int64(dilation)\n",
        "        start = int64(0)\n",
        WRONG,
    ),
    (
        "device.windows", "the last place of an adaptive window",
        "* int64(size) + int64(outputs) - int64(1)) // int64(outputs)",
        "* int64(size)) // int64(outputs)",
        WRONG,
    ),
    (
        "pool.direct", "a window of -inf alone",
        "if greater or index < int64(0):",
        "if greater:",
        WRONG,
    ),
    (
        "pool.direct", "a single place inside",
        "if h_first < h_last and w_first < w_last:",
        "if h_first + 1 < h_last and w_first < w_last:",
        WRONG,
    ),
    (
        "pool.direct", "the first of equals",
        "not value <= best",
        "not value < best",
        WRONG,
    ),
    (
        "pool.direct", "a NaN",
        "not value <= best",
        "value > best",
        WRONG,
    ),
    (
        "pool.direct", "the first of several NaN",
        "best == best and not value <= best",
        "not value <= best",
        WRONG,
    ),
    (
        "pool.direct", "the index of no tap yet",
        "best, index = scalar(lowest), int64(-1)",
        "best, index = scalar(lowest), int64(0)",
        WRONG,
    ),
    (
        "pool.direct", "the plane of the index",
        "int64(h) * int64(W) + int64(w)",
        "int64(h) * int64(H) + int64(w)",
        WRONG,
    ),
    (
        "pool.direct", "the last thread",
        "        if n < int64(N):\n            h, h_last",
        "        if n <= int64(N):\n            h, h_last",
        BEYOND,
    ),
    (
        "pool.direct", "dilation",
        "h = uint32(h + dilation_h)",
        "h = uint32(h + uint32(1))",
        WRONG,
    ),
    (
        "device.outputs", "a block's first output",
        "place = uint32(first - plane * outputs) +",
        "place =",
        f"{WRONG} {RACE} {BEYOND}",
    ),
    (
        "pool.direct", "runs that overlap",
        "range(first, min(w_last, uint32(first + uint32(RUN))))",
        "range(first, w_last)",
        WRONG,
    ),
    (
        "pool.direct", "the divisor at the border",
        "H, rows_from, rows_to)",
        "H, rows_from - 9, rows_to + 9)",
        WRONG,
    ),
    (
        "pool.direct", "the divisor of the user",
        "divisor = scalar(divisor_override)",
        "divisor = scalar(1)",
        WRONG,
    ),
    (
        "pool.direct", "what has the other sign",
        "narrow(turned(best))",
        "narrow(best)",
        WRONG,
    ),
]  # fmt: skip
