"""What a plan may know of the processor, beside its vectors, which are the same for every call (`simd`)."""

from typing import NamedTuple


class Processor(NamedTuple):
    """The CPU as a device: how many threads a call may use."""

    threads: int
