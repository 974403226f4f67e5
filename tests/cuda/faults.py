"""The faults that are planted: what, the old text, the new text, and the verdicts that may come of it.

Several verdicts can be right, because a stray index may be wrong, uninitialised or out of bounds, whichever
the executor meets first. A fault that provably changes nothing is listed with the reason.
"""

from tests.cuda.mutation import HARMLESS

WRONG, BEYOND, RACE, UNSET = "wrong result", "OutOfBoundsError", "RaceError", "UninitialisedError"

# (what, old source, new source, the verdicts that may come first)
CONV_FAULTS = [
    (
        "more weights than the tile holds",
        "for k in range(warp, uint32(TILE_K), uint32(WARPS)):",
        "for k in range(warp, K, uint32(WARPS)):",
        f"{RACE} {BEYOND}",
    ),
    (
        "the barrier before a stage is loaded",
        "cuda.syncthreads()  # the stage before has been read",
        "pass",
        RACE,
    ),
    ("the barrier after a stage is loaded", "            cuda.syncthreads()\n\n", "\n", f"{RACE} {UNSET}"),
    ("the border below", "if h < H and v < W:", "if h <= H and v < W:", f"{BEYOND} {WRONG}"),
    ("the border on the right", "if h < H and v < W:", "if h < H and v <= W:", f"{BEYOND} {WRONG}"),
    (
        "the border above",
        "if h < H and v < W:",
        "if (h < H or h > uint32(2**31)) and v < W:",
        f"{BEYOND} {WRONG}",
    ),
    (
        "the last channel of the weights",
        "if uint32(k_first + k) < K:",
        "if uint32(k_first + k) <= K:",
        BEYOND,
    ),
    ("the last row of the output", "if p < P and q < Q:", "if p <= P and q < Q:", f"{RACE} {BEYOND} {WRONG}"),
    ("the last column of the output", "if p < P and q < Q:", "if p < P and q <= Q:", f"{RACE} {BEYOND}"),
    (
        "the last channel of the output",
        "            if k < K:\n",
        "            if k <= K:\n",
        f"{BEYOND} {RACE}",
    ),
    ("a short last stage", "min(stage_c, uint32(C - c_first))", "stage_c", f"{BEYOND} {WRONG}"),
    (
        "one tap too many",
        "            for t in range(taps):\n                place",
        "            for t in range(taps + 1):\n                place",
        f"{UNSET} {BEYOND} {WRONG}",
    ),
    (
        "one tap too few",
        "            for t in range(taps):\n                place",
        "            for t in range(1, taps):\n                place",
        WRONG,
    ),
    (
        "the sums of the stage before",
        "                partial[i] = scalar(0)\n",
        "                partial[i] = total[i]\n",
        WRONG,
    ),
    (
        "the pitch of the weights",
        "weights += uint64(PITCH_K)",
        "weights += uint64(TILE_K)",
        f"{WRONG} {UNSET}",
    ),
    (
        "rows and columns of the output",
        "int64(p) * y_p + int64(q) * y_q",
        "int64(q) * y_p + int64(p) * y_q",
        f"{WRONG} {BEYOND} {RACE}",
    ),
    (
        "the place of a pixel",
        "e // tile_q * pixel_h * pitch",
        "e // tile_q * pixel_h * tile_w",
        f"{WRONG} {UNSET}",
    ),
    (
        "the table of taps",
        "table[uint32(x_table + t)] = uint32((c",
        "table[uint32(x_table + t)] = uint32((r",
        f"{WRONG} {UNSET}",
    ),
    (
        "taps and weights",
        "int64(r) * w_r + int64(s) * w_s",
        "int64(s) * w_r + int64(r) * w_s",
        f"{WRONG} {BEYOND}",
    ),
    (
        "the last entries of the table",
        "for t in range(thread, stage_c * stage_r * stage_s, uint32(THREADS)):",
        "for t in range(thread, stage_c * stage_r * stage_s - uint32(1), uint32(THREADS)):",
        f"{UNSET} {WRONG}",
    ),
    (
        "the last column of the tile",
        "for column in range(lane, tile_w, uint32(32)):",
        "for column in range(lane, tile_w - uint32(1), uint32(32)):",
        UNSET,
    ),
    (
        "lanes beyond a warp",
        "for column in range(lane, tile_w, uint32(32)):",
        "for column in range(lane, tile_w, uint32(64)):",
        UNSET,
    ),
    ("the group of the weights", "uint32(g * K + k_first + k)) * w_k", "uint32(k_first + k)) * w_k", WRONG),
    ("the group of the bias", "start = bias[channel * bias_k]", "start = bias[int64(k) * bias_k]", WRONG),
    (
        "the first column of the taps",
        "q_first * stride_w + s_first * dilation_w + w_origin",
        "q_first * stride_w + w_origin",
        WRONG,
    ),
    (
        "the first row of the taps",
        "p_first * stride_h + r_first * dilation_h + h_origin",
        "p_first * stride_h + h_origin",
        WRONG,
    ),
    ("the stride of the tiles", "q_first * stride_w + s_first", "q_first + s_first", WRONG),
]

STAGE_FAULTS = [
    ("too little shared memory", "return (self.w_tile + self.c", "return (self.w_tile - 8 + self.c", BEYOND),
    (
        "tiles that overlap",
        "end = self.x_tile + self.c * self.rows.lines",
        "end = self.x_tile + self.c * (self.rows.lines - 1)",
        f"{RACE} {WRONG}",
    ),
    (
        "a table over the offsets",
        "return 2 * self.c * self.r * self.s",
        "return self.c * self.r * self.s",
        f"{RACE} {BEYOND}",
    ),
    ("a halo one line short", "(taps - 1) * tap + 1)", "(taps - 1) * tap)", f"{UNSET} {WRONG} {BEYOND}"),
    (
        "a pitch that is too small",
        "least = -(-columns.lines // columns.pixel)",
        "least = columns.lines // columns.pixel - 1",
        f"{RACE} {WRONG}",
    ),
]

POOL_FAULTS = [
    (
        "the border below",
        "                if h < H:\n                    for s in range(S):\n"
        "                        v = uint32(w_origin + q * stride_w + uint32(s) * dilation_w)",
        "                if h <= H:\n                    for s in range(S):\n"
        "                        v = uint32(w_origin + q * stride_w + uint32(s) * dilation_w)",
        f"{BEYOND} {WRONG}",
    ),
    ("a window of -inf alone", "if greater or index < int64(0):", "if greater:", WRONG),
    ("a single tap inside", "if inside > uint32(0):", "if inside > uint32(1):", WRONG),
    ("the first of equals", "greater = value > best or", "greater = value >= best or", WRONG),
    ("a NaN", "or (value != value and best == best)", "", WRONG),
    ("the first of several NaN", "(value != value and best == best)", "value != value", WRONG),
    (
        "the index of no tap yet",
        "best, index = scalar(lowest), int64(-1)",
        "best, index = scalar(lowest), int64(0)",
        WRONG,
    ),
    ("the plane of the index", "int64(h) * int64(W) + int64(v)", "int64(h) * int64(H) + int64(v)", WRONG),
    (
        "the last thread",
        "        if n < int64(N):\n            best",
        "        if n <= int64(N):\n            best",
        BEYOND,
    ),
    ("dilation", "uint32(r) * dilation_h", "uint32(r)", WRONG),
    (
        "a block's first output",
        "place = uint32(first - plane * outputs) +",
        "place =",
        f"{WRONG} {RACE} {BEYOND}",
    ),
    ("the divisor at the border", "rows = min(R, uint32(H_padded - p * stride_h))", "rows = R", WRONG),
    (
        "taps inside",
        "                            inside += uint32(1)\n",
        "                            inside = uint32(1)\n",
        WRONG,
    ),
    ("the divisor of the user", "divisor = scalar(divisor_override)", "divisor = scalar(1)", WRONG),
]

PTX_FAULTS = [
    ("no barrier", r"bar\.sync\s+0;", ";", 0, RACE),
    ("no second barrier", r"bar\.sync\s+0;", ";", 1, f"{RACE} {UNSET}"),
    (
        "a barrier of half the threads",
        r"bar\.sync(\s+)0;",
        r"bar.sync\g<1>0, 128;",
        0,
        f"{RACE} BarrierError",
    ),
    ("another barrier for all", r"bar\.sync(\s+)0;", r"bar.sync\g<1>1;", 0, HARMLESS),
    (
        "a shared load one word on",
        r"(ld\.shared\.f32\s+%f\d+, \[%r\w*\d+)\]",
        r"\g<1>+4]",
        0,
        f"{WRONG} {UNSET} {BEYOND}",
    ),
    (
        "a misaligned shared load",
        r"(ld\.shared\.f32\s+%f\d+, \[%r\w*\d+)\]",
        r"\g<1>+2]",
        0,
        "MisalignedError",
    ),
    ("a store one element on", r"(st\.global\.f32\s+\[%rd\d+)\]", r"\g<1>+4]", 0, f"{BEYOND} {RACE} {WRONG}"),
    ("the lane for the thread", r"%tid\.x", "%laneid", 0, f"{RACE} {UNSET}"),
    (
        "a product without its sum",
        r"fma\.rn\.f32(\s+%f\d+, %f\d+, %f\d+), %f\d+;",
        r"mul.rn.f32\g<1>;",
        0,
        WRONG,
    ),
]

HARMLESS_REASONS = {
    "another barrier for all": "all threads of the block meet at barrier 1 as they did at 0",
}
