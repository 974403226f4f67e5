"""Copies from global to shared memory, past the registers, and the pointers that they are given."""

from gpuconv.cuda.ptx.copies.asynchronous import (
    commit_group,
    copy_async,
    element_pointer,
    shared_address,
    wait_group,
)
from gpuconv.cuda.ptx.copies.run import make_run_copy

__all__ = [
    "commit_group", "copy_async", "element_pointer", "make_run_copy", "shared_address", "wait_group",
]  # fmt: skip
