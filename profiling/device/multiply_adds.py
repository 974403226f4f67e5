"""A loop of multiply-adds that a CPU cannot do faster: vectors in registers, none waiting for another.

    acc[i] = acc[i] * m + c        i = 0 .. CHAINS - 1, each acc[i] one vector register

A chain's next step waits about 4 cycles for its last; CHAINS of them keep two units busy and fit, with m and
c, into 16 registers. Written as LLVM IR because LLVM prefers 256 bits where the CPU has 512.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from gpuconv.spec.dtypes import FLOAT32, Dtype

CHAINS = 12


def register_bits() -> int:
    """Width of this CPU's widest vector register."""
    features = llvm.get_host_cpu_features()
    return 512 if features.get("avx512f") else 256 if features.get("avx") else 128


@cache
def fused_multiply_adds(dtype: Dtype) -> tuple[Callable[[int], Any], int]:
    """(compute, flops): compute(steps) does steps * flops operations on one thread, without the GIL."""
    lanes = register_bits() // (8 * dtype.itemsize)
    step = _steps_intrinsic(ir.FloatType() if dtype == FLOAT32 else ir.DoubleType(), lanes)

    @numba.njit(nogil=True)
    def compute(steps):
        return step(steps)

    return compute, 2 * CHAINS * lanes


def _steps_intrinsic(element: ir.Type, lanes: int) -> Any:
    """An intrinsic f(steps) that advances all chains `steps` times and returns one lane of their sum."""
    vector = ir.VectorType(element, lanes)

    def constant(value: float) -> ir.Constant:
        return ir.Constant(vector, [value] * lanes)

    def emit(context, builder, signature, arguments):
        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(ir.IntType(64))
        chains = [builder.phi(vector) for _ in range(CHAINS)]
        step.add_incoming(ir.Constant(ir.IntType(64), 0), before)
        following = builder.add(step, ir.Constant(ir.IntType(64), 1))
        step.add_incoming(following, loop)
        advanced = []
        for index, chain in enumerate(chains):
            product = builder.fmul(chain, constant(0.75), flags=("contract",))
            advanced.append(builder.fadd(product, constant(0.5), flags=("contract",)))
            chain.add_incoming(constant(1.0 + index), before)
            chain.add_incoming(advanced[-1], loop)
        builder.cbranch(builder.icmp_signed("<", following, arguments[0]), loop, after)
        builder.position_at_end(after)
        total = advanced[0]
        for chain in advanced[1:]:
            total = builder.fadd(total, chain)
        lane = builder.extract_element(total, ir.Constant(ir.IntType(32), 0))
        return lane if element == ir.DoubleType() else builder.fpext(lane, ir.DoubleType())

    @intrinsic
    def steps(typingctx, count):
        return types.float64(types.int64), emit

    return steps
