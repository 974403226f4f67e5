"""PTX instructions as functions for Numba kernels, for the tests: matrix instructions and what they need.

`instruction` makes one from a template and constraints as LLVM's inline assembly has them: ``=f`` a
float32 result, ``f r l`` sources of type float32, uint32, uint64.
"""

from __future__ import annotations

import pytest

cuda = pytest.importorskip("numba.cuda")
from llvmlite import ir  # noqa: E402
from numba import types  # noqa: E402
from numba.cuda.extending import intrinsic  # noqa: E402

float32, uint16, uint32, uint64 = types.float32, types.uint16, types.uint32, types.uint64
TYPES = {
    "f": (types.float32, ir.FloatType()),
    "r": (types.uint32, ir.IntType(32)),
    "l": (types.uint64, ir.IntType(64)),
}


def operands(first: int, count: int) -> str:
    """``{$0, $1, ...}``: consecutive operands of a template as a vector."""
    return "{" + ", ".join(f"${number}" for number in range(first, first + count)) + "}"


def assembly(builder, template, results, constraints, arguments, memory=True):
    """Call inline assembly; `results` and `constraints` are letters, or numbers for tied operands."""
    letters = [results[int(c)] if c.isdigit() else c for c in constraints]
    kinds = [TYPES[letter][1] for letter in results]
    returned = ir.VoidType() if not kinds else kinds[0] if len(kinds) == 1 else ir.LiteralStructType(kinds)
    function = ir.FunctionType(returned, [TYPES[letter][1] for letter in letters])
    clobbers = ["~{memory}"] if memory else []
    described = ",".join([f"={letter}" for letter in results] + list(constraints) + clobbers)
    value = builder.call(ir.InlineAsm(function, template, described, side_effect=True), arguments)
    if len(kinds) < 2:
        return [value] * len(kinds)
    return [builder.extract_value(value, number) for number in range(len(kinds))]


def packed(context, builder, kind, values):
    """Results as Numba sees them: nothing, a value or a tuple."""
    if not values:
        return context.get_dummy_value()
    return values[0] if len(values) == 1 else context.make_tuple(builder, kind, values)


def instruction(template: str, results: str = "", sources: str = ""):
    """A function of as many arguments as `sources` has letters; several results come as a tuple."""
    kinds = [TYPES[letter][0] for letter in results]
    returned = (
        types.void if not kinds else kinds[0] if len(kinds) == 1 else types.UniTuple(kinds[0], len(kinds))
    )

    def generate(context, builder, signature, arguments):
        values = assembly(builder, template, results, list(sources), list(arguments))
        return packed(context, builder, signature.return_type, values)

    signature = returned(*[TYPES[letter][0] for letter in sources])
    names = ", ".join(f"a{number}" for number in range(len(sources)))
    scope = {"signature": signature, "generate": generate}
    exec(f"def call(context, {names}):\n    return signature, generate", scope)
    return intrinsic(scope["call"])


def multiply(template: str, accumulators: int, sources: str):
    """D = A @ B + D of one ``mma``: a function of the tuple D and the registers of A and B."""
    kind = types.UniTuple(types.float32, accumulators)
    names = ", ".join(f"a{number}" for number in range(len(sources)))

    def generate(context, builder, signature, arguments):
        d = [builder.extract_value(arguments[0], number) for number in range(accumulators)]
        constraints = [*map(str, range(accumulators)), *sources]
        values = assembly(builder, template, "f" * accumulators, constraints, [*d, *arguments[1:]])
        return packed(context, builder, kind, values)

    signature = kind(kind, *[TYPES[letter][0] for letter in sources])
    scope = {"signature": signature, "generate": generate}
    exec(f"def call(context, d, {names}):\n    return signature, generate", scope)
    return intrinsic(scope["call"])


@intrinsic
def shared_address(context, array):
    """Address of an array within shared memory, as uint32."""

    def generate(context, builder, signature, arguments):
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.addrspacecast(view.data, ir.PointerType(ir.IntType(8), 3))
        return builder.ptrtoint(pointer, ir.IntType(32))

    return types.uint32(array), generate


@intrinsic
def float_bits(context, value):
    """The bits of a float32 as uint32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


@intrinsic
def sixteen_zeros(context):
    """Accumulators that are all zero."""

    def generate(context, builder, signature, arguments):
        zero = ir.Constant(ir.FloatType(), 0.0)
        return packed(context, builder, signature.return_type, [zero] * 16)

    return types.UniTuple(types.float32, 16)(), generate


# D, A, B and C, the last being D again.
FRAGMENTS = f"{operands(0, 4)}, {operands(8, 4)}, {operands(12, 2)}, {operands(0, 4)};"
mma_tf32 = multiply(
    "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 " + FRAGMENTS,
    4,
    "rrrrrr",
)
mma_bf16 = multiply(
    "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 " + FRAGMENTS,
    4,
    "rrrrrr",
)
wgmma_bf16 = multiply(
    f"wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {operands(0, 16)}, $32, $33, 1, 1, 1, 0, 0;",
    16,
    "ll",
)
wgmma_fence = instruction("wgmma.fence.sync.aligned;")
wgmma_commit = instruction("wgmma.commit_group.sync.aligned;")
fence_proxy = instruction("fence.proxy.async.shared::cta;")
ldmatrix_x4 = instruction(f"ldmatrix.sync.aligned.m8n8.x4.shared.b16 {operands(0, 4)}, [$4];", "rrrr", "r")
ldmatrix_x2_trans = instruction(
    f"ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {operands(0, 2)}, [$2];", "rr", "r"
)
stmatrix_x4 = instruction(f"stmatrix.sync.aligned.m8n8.x4.shared.b16 [$0], {operands(1, 4)};", "", "rrrrr")
store_shared = instruction(f"st.shared.v4.b32 [$0], {operands(1, 4)};", "", "rrrrr")


def wgmma_wait(pending: int, accumulators: int):
    """``wgmma.wait_group``, through which the accumulators pass so that nothing moves them before it."""
    kind = types.UniTuple(types.float32, accumulators)

    def call(context, d):
        def generate(context, builder, signature, arguments):
            values = [builder.extract_value(arguments[0], number) for number in range(accumulators)]
            template, ties = f"wgmma.wait_group.sync.aligned {pending};", [*map(str, range(accumulators))]
            return packed(
                context, builder, kind, assembly(builder, template, "f" * accumulators, ties, values)
            )

        return kind(kind), generate

    return intrinsic(call)
