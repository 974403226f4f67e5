"""Which instructions an architecture has, as the assembler checks them."""

from __future__ import annotations

import re
from functools import cache

from .faults import UnknownInstructionError
from .syntax import Instruction

# (Pattern of the opcode with its modifiers, the compute capability that has it first).
FIRST = [
    (re.compile(pattern), least)
    for pattern, least in (
        (r"lop3\b", 50),
        (r"(dp4a|dp2a)\b", 61),
        (r"(add|sub|mul|fma|neg|abs|setp|set)\b.*\.f16(x2)?\b", 53),
        (r"(atom|red)\b.*\.(add\.f64|f16x2)\b", 60),
        (r"(nanosleep|match|szext|bmsk|fence)\b", 70),
        (r"(ld|st|atom|red)\b.*\.(relaxed|acquire|release|acq_rel|mmio)\b", 70),
        (r"(atom|red)\b.*\.(f16|b16)\b", 70),
        (r"(ldmatrix|movmatrix)\b", 75),
        (r"tanh\b", 75),
        (r"ex2\b.*\.f16", 75),
        (r"mma\b", 75),
        (r"mma\b.*\.(m16n8k16|m16n8k32|m16n8k64|bf16|tf32|f64)\b", 80),
        (r"cp\.async\b", 80),
        (r"mbarrier\b", 80),
        (r"(redux|createpolicy|applypriority)\b", 80),
        (r".*\.L2::cache_hint\b", 80),
        (r"(min|max)\b.*\.(f16|bf16)", 80),
        (r"(min|max)\b.*\.NaN\.f32\b", 80),
        (r"(fma|neg|abs)\b.*\.bf16", 80),
        (r"fma\b.*\.relu\b", 80),
        (r"cvt\b.*\.(bf16|tf32|f16x2|bf16x2)\b", 80),
        (r"(min|max)\b.*\.xorsign\b", 86),
        (r"(mma|cvt)\b.*\.(e4m3|e5m2)", 89),
        (r"(add|sub|mul|setp|set|ex2|tanh)\b.*\.bf16", 90),
        (r"cvt\b.*\.bf16$", 90),  # from it
        (r"cvt\b.*\.(s|u)\d+\.bf16\b|cvt\b.*\.bf16\.(s|u|f16|f64)", 90),
        (r"(atom|red)\b.*\.(bf16|v[248])", 90),
        (r"mma\b.*\.m16n8k\d+\..*\.f64\b", 90),
        (r"(stmatrix|elect|griddepcontrol|mapa|setmaxnreg|wgmma)\b", 90),
        (r"cp\.(async|reduce\.async)\.bulk\b|cp\.reduce\b", 90),
        (r"mbarrier\.try_wait|mbarrier\b.*\.(expect_tx|complete_tx|relaxed)\b", 90),
        (r"fence\.(proxy\.async|mbarrier_init)|prefetch\.tensormap", 90),
        (r".*\.cluster\b|.*::cluster\b", 90),
        (r"(ld|st)\b.*\.v8\b|(ld|st)\b.*\.v4\.[busf]64\b", 100),
        (r"(add|sub|mul|fma)\b.*\.f32x2\b", 100),
        (r"redux\b.*\.f32\b", 100),
    )
]
# Of these only the targets that are named in full, such as sm_90a.
IN_FULL = {
    "wgmma": re.compile(r"sm_90a"),
    "setmaxnreg": re.compile(r"sm_(90|1\d\d)[af]"),
}


def check_target(instruction: Instruction, target: str) -> None:
    """Raise `UnknownInstructionError` if a target such as "sm_80" does not have an instruction."""
    reason = _refusal(".".join(instruction.parts), target)
    if reason is not None:
        raise UnknownInstructionError(reason).at(instruction)


@cache
def _refusal(opcode: str, target: str) -> str | None:
    found = re.match(r"sm_(\d+)", target)
    if found is None:
        return None
    least = max((first for pattern, first in FIRST if pattern.match(opcode)), default=0)
    if int(found[1]) < least:
        return f"{target} has no {opcode}, sm_{least} has"
    full = IN_FULL.get(opcode.split(".")[0])
    if full is not None and not full.fullmatch(target):
        return f"{target} has no {opcode}: it is of {full.pattern} alone"
    return None
