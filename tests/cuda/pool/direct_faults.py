"""Faults planted in `pool_direct`: the file, what, the old text, the new text, and possible verdicts."""

from tests.cuda.mutation import BEYOND, RACE, WRONG

FAULTS = [
    (
        "pool.direct", "the border below",
        "                if h < H:\n                    for s in range(S):\n"
        "                        w = uint32(w_origin + q * stride_w + uint32(s) * dilation_w)",
        "                if h <= H:\n                    for s in range(S):\n"
        "                        w = uint32(w_origin + q * stride_w + uint32(s) * dilation_w)",
        f"{BEYOND} {WRONG}",
    ),
    (
        "pool.direct", "a window of -inf alone",
        "if greater or index < int64(0):",
        "if greater:",
        WRONG,
    ),
    (
        "pool.direct", "a single tap inside",
        "if inside > uint32(0):",
        "if inside > uint32(1):",
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
        "        if n < int64(N):\n            best",
        "        if n <= int64(N):\n            best",
        BEYOND,
    ),
    (
        "pool.direct", "dilation",
        "uint32(r) * dilation_h",
        "uint32(r)",
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
        "range(first, min(S, uint32(first + uint32(RUN))))",
        "range(first, S)",
        WRONG,
    ),
    (
        "pool.direct", "the divisor at the border",
        "rows = min(R, uint32(H_padded - p * stride_h))",
        "rows = R",
        WRONG,
    ),
    (
        "pool.direct", "taps inside",
        "                            inside += uint32(1)\n",
        "                            inside = uint32(1)\n",
        WRONG,
    ),
    (
        "pool.direct", "the divisor of the user",
        "divisor = scalar(divisor_override)",
        "divisor = scalar(1)",
        WRONG,
    ),
]  # fmt: skip
