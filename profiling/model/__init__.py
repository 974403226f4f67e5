"""Predicted times of the workloads on GPUs, from counts that are made without one.

    python -m profiling.model
    python -m profiling.model --gpu h200 a100 --workload resnet50 --algorithm conv_tiled --out model-h200.json

Nothing here is measured. For each layer and each algorithm that supports it, the launches that the engine
would queue are captured, some of their blocks executed by the PTX executor (`profiling.counts`), the counts
turned into instructions of machine code, and the time of each launch computed (`prediction.py`):

    wave     = max(issue, math, shared, path)   of a multiprocessor that holds r blocks at once
    busy     = sum of the waves of the multiprocessor with the most blocks: the tail is its last wave
    launch   = start + latency + max(busy, bytes from L2 / its rate, bytes from device memory / its rate)

issue, math: a warp stays with one of the four schedulers, each of which issues an instruction a clock and has
a quarter of each unit, so that the scheduler with the most counts: three blocks of two warps take as long as
four. In the waves before the last one a block that ends makes room for the next, and all four are as busy.
Within a block, the warps that have more to do count as they are (`imbalance`). issue: all instructions; math:
those of the busiest unit; shared: passes through shared memory, shuffles, and the first-level cache; path:
what a block takes alone, waiting for each of its loads; latency: until the first data arrive. r is what
registers, shared memory and threads allow. A time is the sum of an algorithm's launches.
`gpuconv.cuda.runtime.gpu` has the rates, latencies, and what a kernel takes to start in a stream and in a
graph, with their sources; `rows.py` the fields of the file that is written.

What it leaves out, and so where a measurement will differ; `rows.LEFT_OUT` is the short of
it, beside the numbers:
- clocks are the boost clocks of the data sheets; a card at its power limit is slower by up to a third (L4
  more), and a short benchmark keeps a clock that a long one does not
- a scheduler is never idle for want of a ready warp while a wave's path is shorter than its work; blocks are
  spread over the schedulers as evenly as can be, and begin at once where there is room; ISSUE and MEMORY are
  what is assumed to be reached of the rates of schedulers and of device memory
- the cache of instructions, conflicts between banks of registers, translations of addresses
- each load of a block's path waits as for device memory; what several blocks load is taken to come from there
  once, and what a block loads twice within some executions of an instruction to be kept by the first-level
  cache; conflicts between these are not seen
- inputs are in device memory and not in a cache; arrays are contiguous and aligned; there is no bias
"""

from importlib import import_module
from typing import Any

__all__ = ["Prediction", "predict"]


def __getattr__(name: str) -> Any:
    """Imported when it is asked for, so that the command can look for what it needs first."""
    if name in __all__:
        return getattr(import_module("profiling.model.prediction"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
