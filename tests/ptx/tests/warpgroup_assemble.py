"""Kernels of one or more warpgroups around ``wgmma``, and matrices laid out in shared memory for them.

The layouts are written out from the figures of the PTX ISA manual, independently of `descriptors`:
for each swizzle, a table of where the chunks of 16 bytes of each of eight lines lie.
"""

from __future__ import annotations

import numpy as np

from ..arguments import out
from ..kernel import Kernel
from ..report import Report
from .matrix_assemble import HEADER, address, move, words

SWIZZLES = {
    0: [[0]] * 8,
    32: [[0, 1], [0, 1], [0, 1], [0, 1], [1, 0], [1, 0], [1, 0], [1, 0]],
    64: [
        [0, 1, 2, 3],
        [0, 1, 2, 3],
        [1, 0, 3, 2],
        [1, 0, 3, 2],
        [2, 3, 0, 1],
        [2, 3, 0, 1],
        [3, 2, 1, 0],
        [3, 2, 1, 0],
    ],
    128: [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [1, 0, 3, 2, 5, 4, 7, 6],
        [2, 3, 0, 1, 6, 7, 4, 5],
        [3, 2, 1, 0, 7, 6, 5, 4],
        [4, 5, 6, 7, 0, 1, 2, 3],
        [5, 4, 7, 6, 1, 0, 3, 2],
        [6, 7, 4, 5, 2, 3, 0, 1],
        [7, 6, 5, 4, 3, 2, 1, 0],
    ],
}
MODES = {0: 0, 128: 1, 64: 2, 32: 3}


def descriptor(start: int, leading: int, stride: int, swizzle: int, base: int = 0) -> int:
    """The 64 bits of a matrix descriptor."""
    return start >> 4 | leading >> 4 << 16 | stride >> 4 << 32 | base << 49 | MODES[swizzle] << 62


def place(
    image: np.ndarray,
    matrix: np.ndarray,
    start: int,
    leading: int,
    stride: int,
    swizzle: int,
    *,
    major: str = "K",
    first_chunk: int = 0,
) -> None:
    """Lay a matrix, shape (M or N, K), out in an image of shared memory, an array of bytes.

    `start` is where the pattern begins; the matrix begins `first_chunk` chunks into its lines.
    """
    table = SWIZZLES[swizzle]
    width = 16 * len(table[0])
    lines = np.ascontiguousarray(matrix if major == "K" else matrix.T).view(np.uint8)
    for line in range(lines.shape[0]):
        for chunk in range(lines.shape[1] // 16):
            data = lines[line, 16 * chunk : 16 * chunk + 16]
            column = chunk + first_chunk
            block, within = divmod(line, 8)
            if swizzle == 0:  # blocks of 8 lines of 16 bytes
                down, across = (stride, leading) if major == "K" else (leading, stride)
                place = start + block * down + column * across + within * 16
            else:
                across, position = divmod(column, len(table[0]))
                place = start + block * stride + across * leading + within * width
                place += 16 * table[within][position]
            image[place : place + 16] = data


STAGE = """
    mov.u32 %thread, %tid.x;
    mov.u32 %i, %tid.x;
    mov.u32 %threads, %ntid.x;
    ld.param.u64 %image, [p0];
COPY:
    setp.ge.u32 %p, %i, {chunks};
    @%p bra COPIED;
    mul.lo.u32 %to, %i, 16;
    cvt.u64.u32 %at, %to;
    add.u64 %at, %at, %image;
    ld.global.v4.b32 {{%x0, %x1, %x2, %x3}}, [%at];
    st.shared.v4.b32 [%to], {{%x0, %x1, %x2, %x3}};
    add.u32 %i, %i, %threads;
    bra COPY;
COPIED:
"""
DECLARE = """
    .reg .pred %p, %keep;
    .reg .b32 %thread, %threads, %i, %to, %x<4>;
    .reg .b64 %image, %at, %offset, %da, %db;
"""
VISIBLE = "    fence.proxy.async.shared::cta;\n    bar.sync 0;\n"
FENCE = "    wgmma.fence.sync.aligned;\n"
COMMIT = "    wgmma.commit_group.sync.aligned;\n"
WAIT = "    wgmma.wait_group.sync.aligned {pending};\n"


def describe(a: int | None, b: int, keep: bool = True) -> str:
    """PTX that loads descriptors and scale-d."""
    first = "" if a is None else f"    mov.b64 %da, {a:#x};\n"
    compare = "eq" if keep else "ne"
    return f"{first}    mov.b64 %db, {b:#x};\n    setp.{compare}.u32 %keep, %threads, %threads;\n"


def kernel_text(body: str, image_bytes: int, d_count: int, a_count: int = 0) -> str:
    """A kernel that fills shared memory from p0, loads D from p1 and A from p3, and stores D to p2.

    `body` comes after the copy to shared memory and the loads; it must wait for its own products.
    """
    text = [DECLARE, f"    .reg .b32 %d<{d_count}>, %a<{max(a_count, 1)}>;\n"]
    text.append(STAGE.format(chunks=image_bytes // 16))
    text += [address("%at", 1, 4 * d_count), move(True, "d", d_count, 4, "%at")]
    if a_count:
        text += [address("%at", 3, 4 * a_count), move(True, "a", a_count, 4, "%at")]
    text += [body, address("%at", 2, 4 * d_count), move(False, "d", d_count, 4, "%at")]
    parameters = ", ".join(f".param .u64 p{index}" for index in range(4 if a_count else 3))
    shared = ".extern .shared .align 1024 .b8 tiles[];\n"
    head = HEADER.format(target="sm_90a") + shared
    return f"{head}.visible .entry test({parameters})\n{{\n{''.join(text)}    ret;\n}}\n"


def product(instruction: str, d_count: int, a_count: int = 0, tail: str = "") -> str:
    """``wgmma.mma_async`` with its operands; `tail` has the constants after scale-d."""
    a = words("a", a_count) if a_count else "%da"
    return f"    {instruction} {words('d', d_count)}, {a}, %db, %keep{tail};\n"


def launch(
    text: str, image: np.ndarray, d: np.ndarray, a: np.ndarray | None = None, grid: int = 1, **options
) -> tuple[np.ndarray, Report]:
    """Run such a kernel; `d` and `a` are what threads hold, arrays of bytes. Returns D likewise."""
    result = np.zeros_like(d)
    sources = [image, d, out(result)] + ([] if a is None else [a])
    report = Kernel(text).launch(grid, d.shape[0], *sources, shared_bytes=image.nbytes, **options)
    return result, report
