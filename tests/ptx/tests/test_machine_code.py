"""The reading of machine code, the search for its main loop."""

import doctest
from pathlib import Path

import pytest

from tests.ptx.machine_code import (
    Step,
    analyse,
    disassembly,
    loops,
    main_loop,
    parse,
    resources,
)
from tests.ptx.machine_code.disassembly import Instruction
from tests.ptx.machine_code.loops import natural_loops

SAMPLE = (Path(__file__).parent / "sample.sass").read_text()


# The disassembly


def test_the_main_loop_of_the_sample():
    instructions = parse(SAMPLE, "product")
    assert len(instructions) == 28
    loop = analyse(instructions)
    assert loop.mix == {"FFMA": 2, "BRA": 2, "LDS.128": 1, "FADD": 1, "IADD3": 1}
    assert (loop.instructions, loop.math_pct) == (7, round(300 / 7, 1))
    assert loop.kinds == {"math": 3, "control": 2, "shared": 1, "integer": 1}


def test_a_subroutine_is_no_part_of_its_kernel():
    assert parse(SAMPLE, "__cuda_sm20_div_u64")[0].opcode == "MUFU.RCP"
    assert "MUFU.RCP" not in [each.opcode for each in parse(SAMPLE, "product")]
    with pytest.raises(ValueError, match="no code of nothing"):
        parse(SAMPLE, "nothing")


@pytest.mark.parametrize(
    ("offset", "guard", "name", "kind", "targets", "continues"),
    [
        (0x10, None, "HFMA2", "move", (), True),
        (0x20, "!P0", "EXIT", "control", (), True),
        (0x30, None, "BSSY", "control", (), True),  # names a label, and does not jump
        (0x40, None, "LDGSTS.128", "global", (), True),
        (0x50, None, "IMAD", "move", (), True),
        (0x60, None, "SYNCS", "synchronisation", (), True),
        (0x70, "!P1", "BRA", "control", (6,), True),
        (0x80, None, "BRA", "control", (24,), True),
        (0xA0, None, "FFMA", "math", (), True),
        (0xE0, "!UP0", "BRA", "control", (16,), True),
        (0xF0, None, "BRA", "control", (9,), True),
        (0x140, "P2", "BRA", "control", (4,), True),
        (0x160, None, "STG.128", "global", (), True),
        (0x170, None, "EXIT", "control", (), False),
        (0x190, None, "BRA", "control", (9,), False),
        (0x1A0, None, "BRA", "control", (26,), False),
    ],
)
def test_each_kind_of_line(offset, guard, name, kind, targets, continues):
    (each,) = (each for each in parse(SAMPLE, "product") if each.offset == offset)
    assert (each.guard, each.name, each.kind) == (guard, name, kind)
    assert each.step == Step(targets, continues, kind)


@pytest.mark.parametrize(
    ("opcode", "operands", "kind"),
    [
        ("HGMMA.64x128x8.F32.TF32", "R24, gdesc[UR8], R24, gsb0", "matrix"),
        ("HMMA.1688.F32.TF32", "R4, R8, R12, R4", "matrix"),
        ("HFMA2", "R4, R8, R12, R4", "math"),
        ("FFMA2", "R4, R8.F32x2.HI_LO, R12, R4", "math"),
        ("UIMAD", "UR4, URZ, URZ, UR5", "move"),
        ("IMAD.WIDE.U32", "R10, R8, R6, RZ", "integer"),
        ("MUFU.EX2", "R4, R4", "special"),
        ("LDL.64", "R4, [R1]", "local"),
        ("UNHEARDOF", "R4", "integer"),
    ],
)
def test_kinds_of_opcodes(opcode, operands, kind):
    assert Instruction(0, None, opcode, operands).kind == kind


def test_an_opcode_is_of_one_kind():
    opcodes = " ".join(disassembly.KINDS.values()).split()
    assert len(opcodes) == len(set(opcodes))


# Loops


def steps(text):
    """ "m" math, "M" matrix, "." anything, "<2" a branch back to step 2 if something holds, "!" the end."""
    kinds = {"m": "math", "M": "matrix"}
    return [
        Step((int(word[1:]),) if word[0] in "<>" else (), word != "!", kinds.get(word, "other"))
        for word in text.split()
    ]


@pytest.mark.parametrize(
    ("program", "loop"),
    [
        ("m m m !", []),
        (". . <1 !", []),  # computes nothing
        (". m <1 !", [1, 2]),
        ("m <0 m m <2 !", [2, 3, 4]),  # the one with more arithmetic
        ("m <0 m <2 !", [0, 1]),  # the first of two alike
        (". m m . m <4 <1 !", [4, 5]),  # innermost, though the outer one computes more
        (". m m . . <4 <1 !", [1, 2, 3, 6]),  # the inner one only waits
        (". M . m m <3 <1 !", [1, 2, 6]),  # matrix instructions come first
        (". >4 m m m <2 !", []),  # entered at two places: no natural loop
        (". m >4 m <1 <1 !", [1, 2, 3, 4, 5]),  # two ways back to one place
    ],
)
def test_which_loop_is_the_main_one(program, loop):
    assert main_loop(steps(program)) == loop


def test_code_behind_the_end_that_jumps_back_belongs_to_its_loop():
    program = steps(". m >5 <1 ! . <3 !")
    program[6] = Step((3,), False, "other")
    assert natural_loops(program) == {1: {1, 2, 3, 5, 6}}
    assert natural_loops([]) == {} and main_loop([]) == []


@pytest.mark.parametrize("module", [loops])
def test_examples(module):
    results = doctest.testmod(module)
    assert results.attempted > 0 and results.failed == 0


# The linker's log


def test_resources_are_read_from_the_linkers_log():
    log = """ptxas         .     32 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem"""
    assert resources(log) == {
        "registers": 40, "spill_bytes": 20, "local_bytes": 32, "static_shared_bytes": 1024,
    }  # fmt: skip
    with pytest.raises(ValueError, match="does not name registers"):
        resources("Compile time = 3 ms")


def test_a_missing_disassembler_is_named_with_its_pip_command(monkeypatch):
    disassembly.nvdisasm.cache_clear()
    monkeypatch.setattr(disassembly, "find_nvidia_binary_utility", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install nvidia-cuda-nvdisasm=="):
        disassembly.nvdisasm()
