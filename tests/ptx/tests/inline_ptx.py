"""Inline PTX for kernels written in Numba: an intrinsic for each instruction that the tests need."""

from __future__ import annotations

import pytest

cuda = pytest.importorskip("numba.cuda")
from llvmlite import ir  # noqa: E402
from numba import types  # noqa: E402
from numba.core import cgutils  # noqa: E402
from numba.cuda.extending import intrinsic  # noqa: E402

_NUMBA = {"r": types.uint32, "l": types.uint64, "f": types.float32}
_LLVM = {"r": ir.IntType(32), "l": ir.IntType(64), "f": ir.FloatType()}


def instruction(text: str, inputs: str = "", output: str = ""):
    """An intrinsic that executes `text`, whose operands ``$0`` ... are the output, if any, and the inputs.

    Registers are named as in inline assembly: "r" for 32 bits, "l" for 64, "f" for float32. An
    instruction without an output is one with an effect on memory.
    """

    def define(context, *arguments):
        result = _NUMBA[output] if output else types.void

        def generate(context, builder, signature, values):
            function = ir.FunctionType(_LLVM[output] if output else ir.VoidType(), [_LLVM[i] for i in inputs])
            constraints = [f"={output}"] * bool(output) + list(inputs) + ["~{memory}"]
            assembly = ir.InlineAsm(function, text, ",".join(constraints), side_effect=True)
            value = builder.call(assembly, values)
            return value if output else context.get_dummy_value()

        return result(*[_NUMBA[i] for i in inputs]), generate

    names = ", ".join(f"a{i}" for i in range(len(inputs)))
    scope = {"define": define}
    # The number of parameters is how Numba finds out the number of arguments.
    exec(f"def wrapper(context, {names}):\n    return define(context, {names})", scope)
    return intrinsic(scope["wrapper"])


@intrinsic
def shared_address(context, array):
    """Address in shared memory of the first element of a shared array."""

    def generate(context, builder, signature, values):
        data = cgutils.create_struct_proxy(array)(context, builder, values[0]).data
        kind = ir.PointerType(addrspace=3) if data.type.is_opaque else data.type.pointee.as_pointer(3)
        pointer = builder.addrspacecast(data, kind)
        return builder.ptrtoint(pointer, ir.IntType(32))

    return types.uint32(array), generate


@intrinsic
def global_address(context, array):
    """Address of the first element of an array in global memory."""

    def generate(context, builder, signature, values):
        data = cgutils.create_struct_proxy(array)(context, builder, values[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.uint64(array), generate


copy_4 = instruction("cp.async.ca.shared.global [$0], [$1], 4, $2;", "rlr")
copy_16 = instruction("cp.async.cg.shared.global [$0], [$1], 16, $2;", "rlr")
commit_group = instruction("cp.async.commit_group;")
wait_group_0 = instruction("cp.async.wait_group 0;")
wait_group_1 = instruction("cp.async.wait_group 1;")
mbarrier_init = instruction("mbarrier.init.shared::cta.b64 [$0], $1;", "rr")
mbarrier_fence = instruction("fence.mbarrier_init.release.cluster;")
mbarrier_arrive = instruction("mbarrier.arrive.shared::cta.b64 _, [$0];", "r")
mbarrier_expect = instruction("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "rr")
mbarrier_done = instruction(
    "{ .reg .pred done; mbarrier.try_wait.parity.shared::cta.b64 done, [$1], $2; selp.u32 $0, 1, 0, done; }",
    "rr",
    "r",
)
bulk_load = instruction(
    "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1], $2, [$3];", "rlrr"
)
tile_load = instruction(
    "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1, {$2, $3}], [$4];",
    "rlrrr",
)
tile_store = instruction(
    "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [$0, {$1, $2}], [$3];", "lrrr"
)
bulk_commit = instruction("cp.async.bulk.commit_group;")
bulk_wait = instruction("cp.async.bulk.wait_group.read 0;")
proxy_fence = instruction("fence.proxy.async.shared::cta;")
