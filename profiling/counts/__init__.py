"""What the CUDA kernels do, counted on a machine without a GPU.

`kernels.py` is the report of every kernel on the small problems of `problems.py`, executed whole
(`execution.py`). `counted.py` is what a prediction is made from: the launches of a call at full size
(`captured.py`), of which a few blocks are executed on arrays that are not there (`block_sample.py`,
`watching.py`, `program_slice.py`), their instructions turned into machine code (`slots.py`) and into the time
that one block takes alone (`critical_path.py`). `occupancy.py` says how many blocks a multiprocessor holds,
`shares.py` shares the counting of a command out to processes.
"""

from profiling.counts.captured import launches, selected, supported
from profiling.counts.counted import Counted, counted
from profiling.counts.occupancy import WARP, blocks_per_sm
from profiling.counts.slots import Work

__all__ = [
    "WARP", "Counted", "Work", "blocks_per_sm", "counted", "launches", "selected", "supported",
]  # fmt: skip
