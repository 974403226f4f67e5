"""The device of a problem on the CPU: all that a choice or a plan may know of it."""

from typing import NamedTuple


class Processor(NamedTuple):
    """The processor that calls run on; what its vectors are is in `gpuconv.cpu.simd`."""

    threads: int  # that a call may use
