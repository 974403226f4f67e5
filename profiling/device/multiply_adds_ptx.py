"""A kernel of multiply-adds that a GPU cannot do faster, as PTX: the driver makes machine code of it itself.

    a[i] = a[i] * factor + summand        i = 0 .. CHAINS - 1, in registers, none waiting for another

So the ceiling is measured where no compiler is installed. The instructions are those of PTX 6.3, which every
driver for CUDA 10 and later knows.
"""

from itertools import pairwise

from gpuconv.spec.dtypes import FLOAT32, Dtype

CHAINS, UNROLLED = 8, 16
ENTRY = "multiply_adds"


def text(dtype: Dtype) -> str:
    """PTX of `multiply_adds(out, factor, summand, steps)`: each thread stores the sum of its chains, after
    `steps` times UNROLLED steps of each; operations are 2 * CHAINS * UNROLLED * steps.
    """
    kind, register = ("f32", "%f") if dtype == FLOAT32 else ("f64", "%e")
    size = dtype.itemsize
    chains = [f"{register}{2 + i}" for i in range(CHAINS)]
    factor, summand = f"{register}0", f"{register}1"
    start = [f"mov.{kind} {chains[0]}, {factor};"]
    start += [f"add.{kind} {chain}, {before}, {summand};" for before, chain in pairwise(chains)]
    step = [f"fma.rn.{kind} {chain}, {chain}, {factor}, {summand};" for chain in chains]
    total = [f"add.{kind} {chains[0]}, {chains[0]}, {chain};" for chain in chains[1:]]
    return "\n".join(
        [
            ".version 6.3", ".target sm_75", ".address_size 64",
            f".visible .entry {ENTRY}(.param .u64 out, .param .{kind} factor, .param .{kind} summand,"
            " .param .u32 steps)",
            "{", f".reg .{kind} {register}<{2 + CHAINS}>; .reg .b32 %r<5>; .reg .b64 %d<3>; .reg .pred %p;",
            f"ld.param.u64 %d0, [out]; ld.param.{kind} {factor}, [factor];",
            f"ld.param.{kind} {summand}, [summand]; ld.param.u32 %r0, [steps];",
            "mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;",
            "mad.lo.u32 %r4, %r1, %r2, %r3;", f"mul.wide.u32 %d1, %r4, {size}; add.u64 %d2, %d0, %d1;",
            *start, "again:", *step * UNROLLED,
            "sub.u32 %r0, %r0, 1; setp.ne.u32 %p, %r0, 0; @%p bra again;",
            *total, f"st.global.{kind} [%d2], {chains[0]};", "ret;", "}",
        ]
    )  # fmt: skip
