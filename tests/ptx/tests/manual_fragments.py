"""The fragment tables of the PTX ISA manual, in its own words, for the tests of matrix instructions.

Each table gives, for element i of a thread, its row and its column, as the manual's section on the
shape does: with ``groupID = %laneid >> 2`` and ``threadID_in_group = %laneid % 4``, here g and t.
Nothing is shared with `fragments`, which has one formula for all of them.
"""

from __future__ import annotations

import numpy as np


def _a_tf32_k4(g, t, i):
    return (g if i == 0 else g + 8), t


def _a_tf32_k8(g, t, i):
    return (g if i in (0, 2) else g + 8), (t if i in (0, 1) else t + 4)


def _a_half_k8(g, t, i):
    return (g if i < 2 else g + 8), t * 2 + (i & 0x1)


def _a_half_k16(g, t, i):
    row = g if 0 <= i < 2 or 4 <= i < 6 else g + 8
    return row, (t * 2 + (i & 0x1) if i < 4 else t * 2 + (i & 0x1) + 8)


def _a_byte_m8(g, t, i):
    return g, t * 4 + i


def _a_byte_k16(g, t, i):
    return (g if i < 4 else g + 8), t * 4 + (i & 0x3)


def _a_byte_k32(g, t, i):
    row = g if 0 <= i < 4 or 8 <= i < 12 else g + 8
    return row, (t * 4 + (i & 0x3) if i < 8 else t * 4 + (i & 0x3) + 16)


def _b_single(g, t, i):
    return t + 4 * i, g


def _b_half_k8(g, t, i):
    return t * 2 + i, g


def _b_half_k16(g, t, i):
    return (t * 2 + (i & 0x1) if i < 2 else t * 2 + (i & 0x1) + 8), g


def _b_byte_k16(g, t, i):
    return t * 4 + i, g


def _b_byte_k32(g, t, i):
    return (t * 4 + (i & 0x3) if i < 4 else t * 4 + (i & 0x3) + 16), g


def _c_m16(g, t, i):
    return (g if i < 2 else g + 8), t * 2 + (i & 0x1)


def _c_m8(g, t, i):
    return g, t * 2 + (i & 0x1)


# f64: "row = groupID" and "col = threadID_in_group" for a0; a1 eight rows further down, a2 and a3
# four columns further right, a4 to a7 eight.
def _a_f64(g, t, i):
    row = g if i % 2 == 0 else g + 8
    return row, [t, t, t + 4, t + 4, t + 8, t + 8, t + 12, t + 12][i]


def _a_f64_m8(g, t, i):
    return g, t


# (Shape, size of an element of A in bytes): tables of A, B and C with the elements of a thread.
TABLES = {
    ("m16n8k4", 4): ((_a_tf32_k4, 2), (_b_single, 1), (_c_m16, 4)),
    ("m16n8k8", 4): ((_a_tf32_k8, 4), (_b_single, 2), (_c_m16, 4)),
    ("m16n8k8", 2): ((_a_half_k8, 4), (_b_half_k8, 2), (_c_m16, 4)),
    ("m16n8k16", 2): ((_a_half_k16, 8), (_b_half_k16, 4), (_c_m16, 4)),
    ("m8n8k16", 1): ((_a_byte_m8, 4), (_b_byte_k16, 4), (_c_m8, 2)),
    ("m16n8k16", 1): ((_a_byte_k16, 8), (_b_byte_k16, 4), (_c_m16, 4)),
    ("m16n8k32", 1): ((_a_byte_k32, 16), (_b_byte_k32, 8), (_c_m16, 4)),
    ("m8n8k4", 8): ((_a_f64_m8, 1), (_b_single, 1), (_c_m8, 2)),
    ("m16n8k4", 8): ((_a_f64, 2), (_b_single, 1), (_c_m16, 4)),
    ("m16n8k8", 8): ((_a_f64, 4), (_b_single, 2), (_c_m16, 4)),
    ("m16n8k16", 8): ((_a_f64, 8), (_b_single, 4), (_c_m16, 4)),
}


def spread(matrix: np.ndarray, table) -> np.ndarray:
    """What the 32 threads of a warp hold of a matrix, shape (32, bytes), by a table of the manual."""
    function, count = table
    held = np.zeros((32, count), matrix.dtype)
    for lane in range(32):
        for i in range(count):
            held[lane, i] = matrix[function(lane >> 2, lane % 4, i)]
    return held.view(np.uint8)


def collect(held: np.ndarray, table, shape: tuple[int, int], dtype) -> np.ndarray:
    """The matrix of which the threads hold `held`, the reverse of `spread`."""
    function, count = table
    values = np.ascontiguousarray(held).view(dtype).reshape(32, count)
    matrix = np.zeros(shape, dtype)
    for lane in range(32):
        for i in range(count):
            matrix[function(lane >> 2, lane % 4, i)] = values[lane, i]
    return matrix


def wgmma_accumulator(held: np.ndarray, columns: int, dtype) -> np.ndarray:
    """D of ``wgmma``, m64nN, from what 128 threads hold.

    Thread t of warp w has in d[4 j] and d[4 j + 1] the columns 8 j + 2 (t % 4) and the next of row
    16 w + t / 4, and in d[4 j + 2] and d[4 j + 3] the same columns, eight rows further down.
    """
    values = np.ascontiguousarray(held).view(dtype).reshape(128, columns // 2)
    matrix = np.zeros((64, columns), dtype)
    for thread in range(128):
        warp, lane = divmod(thread, 32)
        for j in range(columns // 8):
            row, column = 16 * warp + lane // 4, 8 * j + 2 * (lane % 4)
            matrix[row, column : column + 2] = values[thread, 4 * j : 4 * j + 2]
            matrix[row + 8, column : column + 2] = values[thread, 4 * j + 2 : 4 * j + 4]
    return matrix


def wgmma_fragments_of_d(matrix: np.ndarray) -> np.ndarray:
    """What 128 threads hold of D, the reverse of `wgmma_accumulator`."""
    columns = matrix.shape[1]
    numbers = np.arange(128 * columns // 2, dtype=np.int32).reshape(128, -1)
    where = wgmma_accumulator(numbers, columns, np.int32)
    held = np.zeros(128 * columns // 2, matrix.dtype)
    held[where.reshape(-1)] = matrix.reshape(-1)
    return held.reshape(128, -1).view(np.uint8)


def wgmma_fragments_of_a(matrix: np.ndarray) -> np.ndarray:
    """A in registers: 16 rows for each warp, as for mma.sync with the same K."""
    size = matrix.itemsize
    table = TABLES[f"m16n8k{32 // size}", size][0]
    return np.concatenate([spread(matrix[16 * warp : 16 * warp + 16], table) for warp in range(4)])
