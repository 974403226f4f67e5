"""Deformable convolutions, in order of preference."""

from gpuconv.algorithm import Algorithms
from gpuconv.cpu import conv
from gpuconv.cpu.deform import columns
from gpuconv.cpu.engine.compiled import Kernel

ALGORITHMS: Algorithms = (columns.over(conv.SUMS),)
KERNELS: tuple[Kernel, ...] = (columns.sample,)

__all__ = ["ALGORITHMS", "KERNELS"]
