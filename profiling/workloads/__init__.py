"""The problems that are measured, counted and predicted: layers of networks, image filters and pools.

`layers.py` says what a layer and a workload are, `networks.py` which there are, `operands.py` on what arrays.
"""

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
from profiling.workloads.operands import operands, public_call

__all__ = [
    "WORKLOADS", "Layer", "Workload", "convolution", "describe", "flops", "has_precision", "is_forward",
    "label", "operands", "operator", "pool", "public_call",
]  # fmt: skip
