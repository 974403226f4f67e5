"""What a launch may ask for: the limits of CUDA and of each architecture, and what a kernel declares."""

from __future__ import annotations

import math
import re

from .faults import LaunchError
from .program import Program

LARGEST_BLOCK = 1024, 1024, 64
LARGEST_GRID = 2**31 - 1, 65535, 65535
MOST_THREADS = 1024
STATIC_BYTES = 48 << 10
# Shared memory of a block in KiB, static and dynamic, by compute capability; between them that of the lower.
SHARED_KIB = {50: 48, 70: 96, 75: 64, 80: 163, 86: 99, 87: 163, 89: 99, 90: 227, 100: 227, 120: 99}


def capability(target: str) -> int:
    """The number of a target such as "sm_90a"; of an unknown one the latest."""
    found = re.match(r"sm_(\d+)", target)
    return int(found[1]) if found else max(SHARED_KIB)


def check_launch(program: Program, grid: tuple[int, ...], block: tuple[int, ...], shared_bytes: int) -> None:
    """Raise `LaunchError` for a launch that CUDA would refuse."""
    for name, given, most in (("grid", grid, LARGEST_GRID), ("block", block, LARGEST_BLOCK)):
        for axis, extent, limit in zip("xyz", given, most, strict=True):
            if extent > limit:
                raise LaunchError(f"{name} {given}: {axis} is at most {limit}")
    if math.prod(block) > MOST_THREADS:
        raise LaunchError(f"a block {block} has more than {MOST_THREADS} threads")
    _check_declared(program, block)
    _check_shared(program, shared_bytes)


def _check_declared(program: Program, block: tuple[int, ...]) -> None:
    declared = program.entry.limits
    required, most = declared.get(".reqntid"), declared.get(".maxntid")
    if required and (*required, 1, 1)[:3] != block:
        raise LaunchError(f"a block {block}, but the kernel requires {tuple(required)} (.reqntid)")
    if most and math.prod(block) > math.prod(most):
        raise LaunchError(f"a block {block}, but the kernel is for {math.prod(most)} threads (.maxntid)")
    if math.prod(declared.get(".reqnctapercluster", ())) > 1:
        raise LaunchError("clusters of more than one block are not executed (.reqnctapercluster)")


def _check_shared(program: Program, shared_bytes: int) -> None:
    if shared_bytes < 0:
        raise LaunchError(f"shared_bytes is {shared_bytes}")
    static, target = program.layouts["shared"].bytes, program.module.target
    if static > STATIC_BYTES:
        raise LaunchError(f"{static} bytes of static shared memory: at most {STATIC_BYTES} can be declared")
    number = capability(target)
    most = SHARED_KIB[max((known for known in SHARED_KIB if known <= number), default=50)] << 10
    if static + shared_bytes > most:
        raise LaunchError(
            f"{static} bytes of static and {shared_bytes} of dynamic shared memory: "
            f"a block of {target} has {most}"
        )
