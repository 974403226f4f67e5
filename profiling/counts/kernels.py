"""What every CUDA kernel costs, on a machine without a GPU: registers, occupancy, main loop, memory accesses.

    python -m profiling.kernels
    python -m profiling.kernels --arch sm_90a --kernel conv_tiled --out kernels.json

The linker's log gives registers and memory, the disassembly the main loop (`tests/ptx/machine_code/loops.py`
says which that is), and the PTX executor of `tests.ptx` the accesses on small aligned problems. A row of the
JSON file:

    kernel, arch, threads      the kernel, what it is compiled for, threads of a block
    registers                  of a thread
    spill_bytes, local_bytes   stored and loaded again for want of registers; stack of a thread
    shared_bytes               of a block, static and dynamic, on this problem
    blocks_per_sm              resident at once: the least that registers, shared memory and threads allow
    loop_instructions          of the main loop in the machine code; loop_mix: by opcode. Where all loops are
                               unrolled, of the kernel
    loop_math_pct              share of matrix instructions and floating-point arithmetic among them
    problem                    as in the benchmark's tables; null if no problem reaches the kernel
    sectors_per_request        32-byte sectors for a warp's global load or store, and for each kind alone
                               (load_sectors, store_sectors) beside what the bytes would fill (..._ideal)
    bank_conflict_degree       passes through the banks over the least possible, 1 being free;
                               loop_bank_conflict_degree: in the main loop; null without shared memory
    divergent_branches         how often the threads of a warp took both ways
    barriers                   warps that arrived at one

`kernels` in the file says how many have rows, one for two architectures being two, and how many were to: a
run that was stopped has fewer.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gpuconv.cuda import ARCHITECTURES, KERNELS
from gpuconv.cuda.runtime.compiler import COMPILERS
from profiling import interrupts, results
from profiling.counts.execution import Measured, measure
from profiling.counts.occupancy import blocks_per_sm, of_arch
from profiling.counts.shares import add_jobs, share_out
from profiling.results import Row, Table, show
from profiling.workloads import label
from tests.ptx import machine_code

DEFAULT = ("sm_80", "sm_90a")
Task = tuple[str, str]  # the name of a kernel, and an architecture
TOOLS = (*COMPILERS, "nvidia-cuda-nvdisasm")
# Heading and key of each column.
CODE = {
    "kernel": "kernel", "arch": "arch", "registers": "registers", "spill": "spill_bytes",
    "local": "local_bytes", "shared": "shared_bytes", "blocks/SM": "blocks_per_sm",
    "loop": "loop_instructions", "math %": "loop_math_pct", "mix": "loop_mix",
}  # fmt: skip
ACCESSES = {
    "kernel": "kernel", "arch": "arch", "problem": "problem", "load sectors": "load_sectors",
    "ideal": "load_sectors_ideal", "store sectors": "store_sectors", "ideal ": "store_sectors_ideal",
    "banks": "bank_conflict_degree", "in loop": "loop_bank_conflict_degree",
    "divergent": "divergent_branches", "barriers": "barriers",
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and, with --out, write the file; the exit code is that of an interrupt after one."""
    parser = _parser()
    options = parser.parse_args(arguments)
    names = [kernel.name for kernel in KERNELS if options.kernel in kernel.name]
    if not names:
        parser.error(f"no kernel {options.kernel!r}; there are {', '.join(each.name for each in KERNELS)}")
    tasks = [(name, arch) for arch in options.arch for name in names]
    try:
        found = share_out(rows, tasks, options.jobs, " ".join)
    except FileNotFoundError as error:  # nvdisasm
        parser.error(str(error))
    stopped = len(found) < len(tasks)
    if stopped:
        interrupts.note(found)
    if found:
        report([row for task in tasks for row in found.get(task, ())], [len(found), len(tasks)], options.out)
    return interrupts.EXIT_CODE if stopped else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m profiling.kernels", description=__doc__.splitlines()[0])
    parser.add_argument("--arch", nargs="+", choices=ARCHITECTURES, default=DEFAULT, help="%(default)s")
    parser.add_argument("--kernel", default="", metavar="NAME", help="only kernels with NAME in their name")
    add_jobs(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON, one row a kernel, arch and problem")
    return parser


def report(found: Sequence[Row], kernels: Sequence[int], out: Path | None) -> None:
    """Print and write the rows, of so many of all kernels."""
    print_tables(found)
    if out:
        head = {"date": results.today(), "commit": results.commit(), "packages": results.versions(*TOOLS)}
        results.write(out, head | {"kernels": kernels}, rows=found)
        print(f"wrote {out}")


def rows(task: Task) -> list[Row]:
    """One row for each problem that a kernel runs on; one without accesses if no problem reaches it."""
    name, arch = task
    (kernel,) = [each for each in KERNELS if each.name == name]
    fixed = machine_code.of(kernel, arch)
    static = fixed.pop("static_shared_bytes")
    measured: list[Measured | None] = [*measure(arch, name.__eq__)]
    found = []
    for each in measured or [None]:
        shared = static + (each.launch.shared_bytes if each else 0)
        resident = blocks_per_sm(of_arch(arch), kernel.threads, fixed["registers"], shared)
        row = {**fixed, "shared_bytes": shared, "blocks_per_sm": resident}
        found.append(row | ({"problem": label(each.spec), **each.counts} if each else {"problem": None}))
    return found


def print_tables(found: Sequence[Row]) -> None:
    """The code of each kernel once, then its accesses on each problem."""
    largest = {
        (row["kernel"], row["arch"]): row for row in sorted(found, key=lambda row: row["shared_bytes"])
    }
    first = [largest[key] for key in dict.fromkeys((row["kernel"], row["arch"]) for row in found)]
    executed = [row for row in found if row["problem"]]
    show(
        [
            _table("Code; shared memory and occupancy on the problem that takes most", CODE, first),
            _table("Accesses; sectors of 32 bytes for a warp's request, passes through the banks", ACCESSES,
                   executed),
        ]
    )  # fmt: skip


def _table(title: str, columns: dict[str, str], found: Iterable[Row]) -> Table:
    lines = [[_cell(row.get(key)) for key in columns.values()] for row in found]
    return Table(title, [*columns], lines, text=("kernel", "arch", "problem", "mix"))


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{count} {name}" for name, count in list(value.items())[:5])
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
