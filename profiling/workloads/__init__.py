"""The problems that are measured, counted and predicted: layers of networks, image filters and pools.

`layers.py` says what a layer and a workload are, `networks.py` which there are, `drawn.py` those that nobody
listed, `operands.py` on what arrays.
"""

from profiling.workloads.drawn import drawn
from profiling.workloads.layers import (
    Layer,
    Workload,
    convolution,
    describe,
    flops,
    has_precision,
    is_forward,
    label,
    operator,
    pool,
)
from profiling.workloads.networks import WORKLOADS
from profiling.workloads.operands import operands, operands_of, public_call

__all__ = [
    "WORKLOADS", "Layer", "Workload", "convolution", "describe", "drawn", "flops", "has_precision",
    "is_forward", "label", "operands", "operands_of", "operator", "pool", "public_call",
]  # fmt: skip
