"""Tiles compiled for processors that are not here, named to LLVM, and the loops of their assembly."""

import re

import llvmlite.binding as llvm
from llvmlite import ir

from gpuconv.cpu.simd import product, quads, target

X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"

QUADS = {"AVX-512 with VNNI, Ice Lake": "icelake-server", "AVX-512 with VNNI, Zen 4": "znver4"}
AVX512 = "+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw"

# name: triple, LLVM's name of the processor, some of its features, and the tile for them
TARGETS = {
    "AVX-512, Skylake": (X86, "skylake-avx512", AVX512, target.Tile(8, 3, 512, True)),
    "AVX-512, Sapphire Rapids": (X86, "sapphirerapids", AVX512, target.Tile(8, 3, 512, True)),
    "AVX-512, Zen 5": (X86, "znver5", AVX512, target.Tile(8, 3, 512, True)),
    "AVX-512 without VL, Knights Landing": (X86, "knl", "+avx2,+fma,+avx512f", target.Tile(6, 2, 256, True)),
    "AVX2, Haswell": (X86, "haswell", "+avx,+avx2,+fma,-avx512f", target.Tile(6, 2, 256, True)),
    "AVX2, Zen 2": (X86, "znver2", "+avx,+avx2,+fma", target.Tile(6, 2, 256, True)),
    "AVX without FMA, Sandy Bridge": (X86, "sandybridge", "+avx,-fma", target.Tile(4, 2, 256, False)),
    "SSE2, any x86-64": (X86, "x86-64", "+sse2", target.Tile(4, 2, 128, False)),
    "NEON, Graviton 2": (ARM, "neoverse-n1", "+neon", target.Tile(8, 2, 128, True)),
    "NEON, Apple M1": (ARM, "apple-m1", "+neon", target.Tile(8, 2, 128, True)),
}
FUSED = re.compile(r"\b(vfmadd\w+p[sd]|fmla)\b")
STACK = re.compile(r"\(%[re]?[sb]p\b|\[(sp|x29)\b")


def initialize() -> None:
    """Let LLVM compile for every processor that it was built for."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def tile_module(triple: str, tile: target.Tile, dtype: str) -> ir.Module:
    """A module with the one function tile(rows, columns, depth, a, a_row, .., bias, fresh, *finish)."""
    element = target.ELEMENTS[dtype]
    place, number = element.as_pointer(), target.INDEX
    kinds = [number] * 3 + [place, number, place, number, place, number, place, ir.IntType(1)]
    kinds += [number, number, element, element]  # those of `simd.finish.Finish`
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    product.emit_tiles(builder, tile, *function.args)
    builder.ret_void()
    return module


def quads_module(triple: str, tile: target.Tile) -> ir.Module:
    """A module with the one function tile(rows, columns, quads, a, a_row, .., start, fresh, a_signed)."""
    place, number, bit = target.LANE.as_pointer(), target.INDEX, ir.IntType(1)
    kinds = [number] * 3 + [quads.BYTE.as_pointer(), number, place, number, place, number, place, bit, bit]
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    quads.emit_tiles(builder, tile, *function.args)
    builder.ret_void()
    return module


def assembly(module: ir.Module, triple: str, cpu: str) -> str:
    """What LLVM makes of the module at its highest level of optimisation."""
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(parsed, builder)
    return machine.emit_assembly(parsed)


def loops(text: str) -> list[list[str]]:
    """The instructions of each innermost loop that is one block: from a label to a jump back to it."""
    found, label, block = [], None, []
    for line in text.splitlines():
        line = line.split("#")[0].split("//")[0].strip()
        if re.fullmatch(r"[.\w]+:", line):
            label, block = line[:-1], []
        elif line and not line.startswith("."):
            block.append(line)
            if label is not None and line.endswith(label) and re.match(r"(j\w+|b\.?\w*|cbn?z|tbn?z)\s", line):
                found.append(list(block))
    return found
