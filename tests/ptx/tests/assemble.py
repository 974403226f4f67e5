"""Small kernels in PTX for the tests of the executor."""

from __future__ import annotations

import numpy as np

from ..arguments import out
from ..kernel import Kernel
from ..report import Report
from ..syntax import DTYPES

HEADER = ".version 8.5\n.target sm_90a\n.address_size 64\n"
SHARED = ".shared .align 16 .b8 buffer[4096];\n"
STORE = "    add.u64 %rd30, %rd0, %rd31;\n    st.global.u32 [%rd30], %r20;\n"
REGISTERS = """
    .reg .pred %p<16>;
    .reg .b16 %h<32>;
    .reg .b32 %r<64>;
    .reg .f32 %f<64>;
    .reg .b64 %rd<32>;
    .reg .f64 %fd<16>;
"""


def kernel(body: str, parameters: int = 2, declarations: str = "") -> Kernel:
    """A kernel whose parameters ``p0``, ``p1`` ... are pointers, loaded into ``%rd0``, ``%rd1`` ...

    ``%r0`` holds the number of the thread in the grid, ``%rd31`` four times it.
    """
    names = ", ".join(f".param .u64 p{index}" for index in range(parameters))
    loads = "\n".join(f"    ld.param.u64 %rd{index}, [p{index}];" for index in range(parameters))
    return Kernel(f"""{HEADER}{declarations}
.visible .entry test({names})
{{{REGISTERS}{loads}
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %ntid.x;
    mov.u32 %r3, %tid.x;
    mad.lo.u32 %r0, %r1, %r2, %r3;
    mul.wide.u32 %rd31, %r0, 4;
{body}
    ret;
}}
""")


def run(
    body: str, *arrays: object, grid: int = 1, block: int = 32, declarations: str = "", **options: object
) -> Report:
    """Launch such a kernel on arrays."""
    return kernel(body, len(arrays), declarations).launch(grid, block, *arrays, **options)


def stored(
    body: str, *, block: int = 32, grid: int = 1, declarations: str = "", **options: object
) -> list[int]:
    """What each thread leaves in ``%r20``."""
    result = np.zeros(block * grid, np.uint32)
    run(body + STORE, out(result), grid=grid, block=block, declarations=declarations, **options)
    return result.tolist()


def evaluate(instruction: str, result: str, *operands: tuple[str, object]) -> np.ndarray:
    """Execute ``instruction d, a, b ...`` with one thread for each element of the operands.

    Parameters
    ----------
    instruction : str
        Opcode with modifiers; further operands that are constants follow after a comma.
    result : str
        Type of the destination.
    operands : (type, values)
        Sources, each broadcast to the longest.
    """
    opcode, _, constants = instruction.partition(",")
    values = np.broadcast_arrays(
        *[np.atleast_1d(np.asarray(given, DTYPES[kind])) for kind, given in operands]
    )
    kinds = [kind for kind, _ in operands]
    declarations, body, names = [], [], []
    for index, kind in enumerate([*kinds, result]):
        declarations.append(f"    .reg .{'pred' if kind == 'pred' else _bits(kind)} %x{index};")
    for index, kind in enumerate(kinds):
        body.append(_load(index, kind))
        names.append(f"%x{index}")
    if constants:
        names.append(constants)
    last = len(kinds)
    body.append(f"    {opcode} {', '.join([f'%x{last}', *names])};")
    body.append(_store(last, result))
    arrays = [np.ascontiguousarray(value) for value in values]
    stored = np.empty(arrays[0].size, np.uint32 if result == "pred" else DTYPES[result])
    run("\n".join(declarations + body), *arrays, out(stored), block=stored.size)
    return stored.astype(bool) if result == "pred" else stored


def _bits(kind: str) -> str:
    return f"b{8 * max(DTYPES[kind].itemsize, 2)}"


def _load(index: int, kind: str) -> str:
    size = DTYPES[kind].itemsize
    load = f"    mul.wide.u32 %rd30, %r0, {size};\n    add.u64 %rd30, %rd{index}, %rd30;\n"
    if kind == "pred":
        return load + f"    ld.global.u8 %r9, [%rd30];\n    setp.ne.u32 %x{index}, %r9, 0;"
    return (
        load
        + f"    ld.global.{kind[0] if kind[0] in 'su' and size < 4 else 'b'}{8 * size} %x{index}, [%rd30];"
    )


def _store(index: int, kind: str) -> str:
    size = 4 if kind == "pred" else DTYPES[kind].itemsize
    store = f"    mul.wide.u32 %rd30, %r0, {size};\n    add.u64 %rd30, %rd{index}, %rd30;\n"
    if kind == "pred":
        return store + f"    selp.u32 %r9, 1, 0, %x{index};\n    st.global.u32 [%rd30], %r9;"
    return store + f"    st.global.b{8 * size} [%rd30], %x{index};"
