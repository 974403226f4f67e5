"""How many blocks of a kernel one multiprocessor holds at once.

The limits are those of the CUDA C++ Programming Guide, release 13.0, section "Compute Capabilities", table
"Technical Specifications per Compute Capability". How registers and shared memory are handed out is what
cuda_occupancy.h, the toolkit's occupancy calculator, computes: registers to whole warps in units of 256, from
one of four partitions; shared memory in units of 128 bytes (256 before compute capability 8.0), with 1 KB
more for the system from 8.0 on.
"""

import re
from dataclasses import dataclass

WARP = 32
REGISTERS, PARTITIONS, REGISTER_UNIT = 65536, 4, 256


@dataclass(frozen=True, slots=True)
class Limits:
    """What one multiprocessor has; the shared memory in bytes."""

    threads: int
    blocks: int
    shared_bytes: int
    shared_unit: int = 128
    reserved_bytes: int = 1024


LIMITS = {
    (7, 5): Limits(1024, 16, 64 * 1024, shared_unit=256, reserved_bytes=0),
    (8, 0): Limits(2048, 32, 164 * 1024),
    (8, 6): Limits(1536, 16, 100 * 1024),
    (8, 9): Limits(1536, 24, 100 * 1024),
    (9, 0): Limits(2048, 32, 228 * 1024),
    (10, 0): Limits(2048, 32, 228 * 1024),
    (12, 0): Limits(1536, 24, 100 * 1024),
}


def blocks_per_sm(arch: str, threads: int, registers: int, shared_bytes: int) -> int:
    """Resident blocks of `threads` threads with `registers` each and `shared_bytes`, static and dynamic.

    Raises
    ------
    ValueError
        For an architecture that is not in the table.

    Examples
    --------
    >>> blocks_per_sm("sm_90a", threads=256, registers=128, shared_bytes=0)
    2
    """
    limits = LIMITS.get(_capability(arch))
    if limits is None:
        known = ", ".join(f"{major}.{minor}" for major, minor in LIMITS)
        raise ValueError(f"the limits of {arch} are not known; known are compute capabilities {known}")
    warps = -(-threads // WARP)
    warp_registers = _round_up(max(registers, 1) * WARP, REGISTER_UNIT)
    block_bytes = _round_up(shared_bytes + limits.reserved_bytes, limits.shared_unit)
    return min(
        limits.blocks,
        limits.threads // WARP // warps,
        REGISTERS // PARTITIONS // warp_registers * PARTITIONS // warps,
        limits.shared_bytes // block_bytes if block_bytes else limits.blocks,
    )


def _capability(arch: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"sm_(\d+)(\d)[af]?", arch)
    return (int(match[1]), int(match[2])) if match else None


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
