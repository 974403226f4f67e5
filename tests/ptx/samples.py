"""Small kernels in PTX whose result on a GPU must be the executor's: the means to refute a shared misreading.

`python -m profiling.device.layouts` runs each sample on a CUDA device and in the executor, on the same
arguments, and compares every array that it was given. To have an instruction checked, append a `Sample` to
`SAMPLES`: PTX text with its own ``.version`` and ``.target`` lines (the target says on which devices it can
run) and a function that makes its arguments.
"""

from __future__ import annotations

import numpy as np

from .arguments import out
from .matrix_samples import MATRICES
from .sample import BLOCK, HEADER, MakeArguments, Sample, between, element_address, elementwise, kernel


def _free(
    name: str, body: str, make_arguments: MakeArguments, shared_bytes: int = 0, grid: int = 1
) -> Sample:
    """`body` may use ``%r0`` (thread), ``%r1`` (block), ``%rd0`` and ``%rd1`` (pointers), and ``buffer``."""
    text = f"""{HEADER}.extern .shared .align 16 .b8 buffer[];
.visible .entry sample(.param .u64 x, .param .u64 y)
{{
.reg .b32 %r<16>; .reg .b64 %rd<16>; .reg .f32 %f<16>; .reg .f64 %fd<8>;
ld.param.u64 %rd0, [x];
ld.param.u64 %rd1, [y];
mov.u32 %r0, %tid.x;
mov.u32 %r1, %ctaid.x;
{body}
ret;
}}
"""
    return Sample(name, text, make_arguments, grid, BLOCK, shared_bytes)


VECTORS = """
mul.wide.u32 %rd2, %r0, 16;
add.u64 %rd3, %rd0, %rd2;
ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%rd3];
shl.b32 %r7, %r0, 4;
mov.u32 %r2, buffer;
add.u32 %r3, %r2, %r7;
st.shared.v4.f32 [%r3], {%f3, %f2, %f1, %f0};
bar.sync 0;
sub.u32 %r4, 127, %r0;
shl.b32 %r5, %r4, 4;
add.u32 %r6, %r2, %r5;
ld.shared.v2.f64 {%fd0, %fd1}, [%r6];
add.u64 %rd4, %rd1, %rd2;
st.global.v2.f64 [%rd4], {%fd1, %fd0};
"""
COUNTERS = """
and.b32 %r2, %r0, 7;
mul.wide.u32 %rd2, %r2, 4;
add.u64 %rd3, %rd0, %rd2;
mad.lo.u32 %r3, %r1, 1000, %r0;
red.global.add.u32 [%rd3], %r3;
add.u64 %rd4, %rd1, %rd2;
red.global.max.u32 [%rd4], %r3;
"""


def _shuffle(mode: str, distance: str, clamp: int) -> Sample:
    body = [f"shfl.sync.{mode}.b32 %d|%q, %a, {distance}, {clamp}, -1;", "@!%q not.b32 %d, %d;"]
    return kernel(f"shfl.{mode} {distance} {clamp:#x}", body, "b32", "b32", "u32")


def _exchange(operation: str, operands: str, *kinds: str) -> Sample:
    """An atomic on an element of its own for each thread, whose old value is the result."""
    body = [*element_address(0, "u32"), f"atom.global.{operation} %d, [%p], {operands};"]
    return kernel(f"atom.{operation}", body, "u32", *kinds)


def _warp(name: str, instruction: str) -> Sample:
    """An instruction of a whole warp, ``%q`` being whether ``%a`` is odd."""
    return kernel(name, ["and.b32 %x, %a, 1;", "setp.eq.u32 %q, %x, 1;", instruction], "u32", "u32", "u32")


FLOATING = (
    *(elementwise(f"fma.{mode}.f32", "f32", "f32", "f32", "f32") for mode in ("rn", "rz", "rm", "rp")),
    elementwise("fma.rn.ftz.f32", "f32", "f32", "f32", "f32"),
    elementwise("fma.rn.f64", "f64", "f64", "f64", "f64"),
    elementwise("fma.rn.f16x2", "f16x2", "f16x2", "f16x2", "f16x2"),
    elementwise("fma.rn.bf16x2", "bf16x2", "bf16x2", "bf16x2", "bf16x2"),
    *(elementwise(f"{opcode}.f32", "f32", "f32", "f32")
      for opcode in ("add.rn", "add.rp", "mul.rn", "mul.rp", "div.rn", "min", "max", "max.NaN", "min.NaN")),
    *(elementwise(f"{opcode}.rn.f32", "f32", "f32") for opcode in ("rcp", "sqrt")),
    elementwise("ex2.approx.f32", "f32", "f32", ulps=2, make=between(-20, 20)),
    elementwise("lg2.approx.f32", "f32", "f32", ulps=4, make=between(2, 1000)),
    elementwise("rcp.approx.f32", "f32", "f32", ulps=1, make=between(0.01, 100)),
    elementwise("rsqrt.approx.f32", "f32", "f32", ulps=2, make=between(0.01, 100)),
    elementwise("sqrt.approx.f32", "f32", "f32", ulps=2, make=between(0.01, 100)),
    elementwise("tanh.approx.f32", "f32", "f32", ulps=2**13, make=between(0.1, 4)),
    elementwise("div.full.f32", "f32", "f32", "f32", ulps=2, make=between(0.01, 100)),
)  # fmt: skip
CONVERSIONS = (
    *(elementwise(f"cvt.{mode}.f16.f32", "f16", "f32") for mode in ("rn", "rz")),
    elementwise("cvt.rn.bf16.f32", "bf16", "f32"),
    elementwise("cvt.rna.tf32.f32", "tf32", "f32"),
    elementwise("cvt.f32.f16", "f32", "f16"),
    *(elementwise(f"cvt.rn{relu}.{kind}x2.f32", f"{kind}x2", "f32", "f32")
      for kind in ("f16", "bf16") for relu in ("", ".relu")),
    *(elementwise(f"cvt.{mode}.s32.f32", "s32", "f32") for mode in ("rni", "rzi", "rmi", "rpi")),
    elementwise("cvt.rzi.u64.f64", "u64", "f64"),
    *(elementwise(f"cvt.{mode}.f32.s32", "f32", "s32") for mode in ("rn", "rz", "rm", "rp")),
    *(elementwise(f"cvt.{mode}.f32.f64", "f32", "f64") for mode in ("rn", "rz")),
    elementwise("cvt.rn.f32.u64", "f32", "u64"),
    elementwise("cvt.sat.s8.s32", "s8", "s32"),
)  # fmt: skip
INTEGERS = (
    elementwise("mad.lo.u32", "u32", "u32", "u32", "u32"),
    elementwise("mad.hi.s32", "s32", "s32", "s32", "s32"),
    elementwise("mul.wide.s32", "s64", "s32", "s32"),
    elementwise("dp4a.s32.s32", "s32", "b32", "b32", "s32"),
    elementwise("prmt.b32, 0x7140", "b32", "b32", "b32"),
    elementwise("lop3.b32, 0xE8", "b32", "b32", "b32", "b32"),
    elementwise("shf.r.wrap.b32, 7", "b32", "b32", "b32"),
    elementwise("shf.l.clamp.b32", "b32", "b32", "b32", "u32"),
    elementwise("bfe.s32, 5, 11", "s32", "s32"),
    elementwise("bfind.shiftamt.u32", "u32", "u32"),
    *(elementwise(f"{opcode}.b32", "b32", "b32") for opcode in ("brev", "popc", "clz")),
)
MEMORY = (
    _free(
        "ld.v4 st.shared.v4 ld.shared.v2", VECTORS,
        lambda rng: [rng.standard_normal(4 * BLOCK, np.float32), out(np.empty(4 * BLOCK, np.float32))],
        shared_bytes=16 * BLOCK,
    ),
    _free("red.add red.max", COUNTERS, lambda rng: [np.zeros(8, np.uint32), np.zeros(8, np.uint32)], grid=32),
    _exchange("add.u32", "%b", "u32", "u32"),
    _exchange("min.s32", "%b", "u32", "s32"),
    _exchange("exch.b32", "%b", "u32", "u32"),
    _exchange("cas.b32", "%b, %c", "u32", "u32", "u32"),
)  # fmt: skip
SHUFFLES = (("up", 0), ("down", 31), ("bfly", 31), ("idx", 31), ("up", 0x1800), ("bfly", 0x181F))
WARPS = (
    *(_shuffle(mode, distance, clamp) for distance in ("%b", "3") for mode, clamp in SHUFFLES),
    _warp("vote.ballot", "vote.sync.ballot.b32 %d, %q, -1;"),
    _warp("redux.add.s32", "redux.sync.add.s32 %d, %a, -1;"),
    _warp("redux.min.u32", "redux.sync.min.u32 %d, %a, -1;"),
    _warp("redux.xor.b32", "redux.sync.xor.b32 %d, %a, -1;"),
    _warp("match.any", "and.b32 %x, %a, 3;\nmatch.any.sync.b32 %d, %x, -1;"),
)  # fmt: skip

SAMPLES: tuple[Sample, ...] = (*FLOATING, *CONVERSIONS, *INTEGERS, *MEMORY, *WARPS, *MATRICES)
