"""Small kernels around one bulk copy, for its tests."""

from __future__ import annotations

import numpy as np

from ..arguments import out
from .assemble import run

SHARED = """
.shared .align 1024 .b8 buffer[16384];
.shared .align 16 .b64 barrier[2];
"""

# %r10 and %r11 are the addresses of the buffer and of the mbarrier; %p1 holds for thread 0.
BEGIN = """
    mov.u32 %r10, buffer;
    mov.u32 %r11, barrier;
    setp.eq.u32 %p1, %r3, 0;
"""
INIT = """
    @%p1 mbarrier.init.shared.b64 [%r11], 1;
    @%p1 fence.mbarrier_init.release.cluster;
    bar.sync 0;
"""
WAIT = """
WAIT:
    mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r11], 0;
    @!%p2 bra WAIT;
"""
# All threads together store the words of the buffer to the array at %rd1.
DUMP = """
    mov.u32 %r21, %r3;
DUMP:
    setp.ge.u32 %p5, %r21, {words};
    @%p5 bra DUMPED;
    shl.b32 %r22, %r21, 2;
    cvt.u64.u32 %rd21, %r22;
    add.u64 %rd21, %rd1, %rd21;
    add.u32 %r22, %r10, %r22;
    ld.shared.b32 %r23, [%r22];
    st.global.b32 [%rd21], %r23;
    add.u32 %r21, %r21, %r2;
    bra DUMP;
DUMPED:
"""
# All threads together fill the buffer with the words of the array at %rd1.
FILL = """
    mov.u32 %r21, %r3;
FILL:
    setp.ge.u32 %p5, %r21, {words};
    @%p5 bra FILLED;
    shl.b32 %r22, %r21, 2;
    cvt.u64.u32 %rd21, %r22;
    add.u64 %rd21, %rd1, %rd21;
    add.u32 %r22, %r10, %r22;
    ld.global.b32 %r23, [%rd21];
    st.shared.b32 [%r22], %r23;
    add.u32 %r21, %r21, %r2;
    bra FILL;
FILLED:
"""


def load_text(copy: str, size: int, before: str = "", expected: int | None = None) -> str:
    """Load `size` bytes to the buffer with one copy by thread 0, and store them to the result."""
    expect = f"    @%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r11], {expected or size};\n"
    return BEGIN + INIT + before + expect + f"    @%p1 {copy}\n" + WAIT + DUMP.format(words=size // 4)


def loaded(copy: str, size: int, source: object, **options) -> np.ndarray:
    """The bytes that such a load leaves in the buffer."""
    result = np.zeros(size, np.uint8)
    run(load_text(copy, size, **options), source, out(result), declarations=SHARED, block=64)
    return result


def store_text(copy: str, size: int) -> str:
    """Fill the buffer with `size` bytes, and let thread 0 copy it."""
    return (
        BEGIN
        + FILL.format(words=size // 4)
        + "    fence.proxy.async.shared::cta;\n    bar.sync 0;\n"
        + f"    @%p1 {copy}\n    @%p1 cp.async.bulk.commit_group;\n    @%p1 cp.async.bulk.wait_group 0;\n"
    )


def store(copy: str, data: np.ndarray, target: object, **options) -> None:
    run(store_text(copy, data.nbytes), target, data, declarations=SHARED, block=64, **options)
