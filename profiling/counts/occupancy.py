"""How many blocks of a kernel one multiprocessor holds at once.

How registers and shared memory are handed out is what cuda_occupancy.h, the toolkit's occupancy calculator,
computes: registers to whole warps in units of 256, from one of four partitions; shared memory in units, with
some more for the system. The limits of a multiprocessor are those of `gpuconv.cuda.runtime.gpu`.
"""

from gpuconv.cuda.runtime.compiled import compute_capability
from gpuconv.cuda.runtime.gpu import Multiprocessor, multiprocessor

WARP = 32
REGISTERS, PARTITIONS, REGISTER_UNIT = 65536, 4, 256


def of_arch(arch: str) -> Multiprocessor:
    """A multiprocessor of the oldest GPU that runs machine code for an architecture such as "sm_90a"."""
    return multiprocessor(compute_capability(arch)[:2])


def blocks_per_sm(each: Multiprocessor, threads: int, registers: int, shared_bytes: int) -> int:
    """Resident blocks of `threads` threads with `registers` each and `shared_bytes`, static and dynamic.

    Examples
    --------
    >>> blocks_per_sm(of_arch("sm_90a"), threads=256, registers=128, shared_bytes=0)
    2
    """
    warps = -(-threads // WARP)
    warp_registers = _round_up(max(registers, 1) * WARP, REGISTER_UNIT)
    block_bytes = _round_up(shared_bytes + each.system_bytes, each.shared_unit)
    return min(
        each.blocks,
        each.threads // WARP // warps,
        REGISTERS // PARTITIONS // warp_registers * PARTITIONS // warps,
        each.shared_bytes // block_bytes if block_bytes else each.blocks,
    )


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
