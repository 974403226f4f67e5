"""The GPUs that `profiling.model` predicts for: what one multiprocessor does in a clock, and the memory
behind them.

Rates by clock and multiprocessor: CUDA C++ Programming Guide, release 13.0, table "Throughput of Native
Arithmetic Instructions", in results of one thread; four schedulers, each of which issues one warp's
instruction a clock (sections "Compute Capability 8.x" and "9.0"). Multiprocessors, clocks and device
memory: NVIDIA's data sheets of H200, H100 SXM, A100 80GB SXM, L4, and the Ada whitepaper for the RTX 4090.
The clock is the boost clock that the data sheet's peak is computed with: a card held back by its power
limit runs slower, an L4 most of all.

The second-level cache has no published rate but the A100's (5120 bytes a clock, of which about two thirds
can be reached): 32 bytes a clock for each multiprocessor of A100 and Hopper, 16 of Ada, are assumptions in
the middle of what microbenchmarks report. Nothing in this file has been measured by this project.
"""

from dataclasses import dataclass

from gpuconv.cuda.runtime.compiled import compute_capability
from gpuconv.cuda.runtime.gpu import Chip
from tests.ptx.machine_code import LIMITS


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU.

    Attributes
    ----------
    arch : str
        The architecture whose machine code it runs.
    capability : str
        Its own, which bounds the blocks that a multiprocessor holds.
    multiprocessors : int
    clock : float
        In GHz.
    fp32, fp64, integer, special : int
        Results of one thread in a clock of a multiprocessor: fused multiply-adds; integer additions, logic,
        comparisons, minima and selections; conversions and approximations.
    l2_bytes : int
        That reach a multiprocessor from the second-level cache in a clock.
    device_gbytes : float
        GB/s of device memory, by the data sheet.
    l2_mbytes : int
        Size of the second-level cache.
    issue, shared_bytes : int
        Warps' instructions that are issued, and bytes of shared memory or first-level cache, in a clock.
    """

    name: str
    arch: str
    capability: str
    multiprocessors: int
    clock: float
    fp32: int
    fp64: int
    l2_bytes: int
    device_gbytes: float
    l2_mbytes: int
    integer: int = 64
    special: int = 16
    issue: int = 4
    shared_bytes: int = 128

    @property
    def gflops(self) -> float:
        """Peak of float32, a multiply-add being two operations.

        Examples
        --------
        >>> round(GPUS["h200"].gflops / 1e3)
        67
        """
        return 2 * self.fp32 * self.multiprocessors * self.clock

    @property
    def chip(self) -> Chip:
        """What the engine's choices see of it."""
        limits = LIMITS[compute_capability(self.capability)[:2]]
        return Chip(self.multiprocessors, limits.shared_bytes, self.fp32, self.l2_bytes)

    def microseconds(self, cycles: float) -> float:
        """How long so many clocks take."""
        return cycles / self.clock / 1e3


GPUS = {
    "h200": Gpu("H200", "sm_90a", "sm_90", 132, 1.98, 128, 64, 32, 4800, 50),
    "h100": Gpu("H100 SXM", "sm_90a", "sm_90", 132, 1.98, 128, 64, 32, 3350, 50),
    "a100": Gpu("A100 SXM 80GB", "sm_80", "sm_80", 108, 1.41, 64, 32, 32, 2039, 40),
    "l4": Gpu("L4", "sm_80", "sm_89", 58, 2.04, 128, 2, 16, 300, 48),
    "rtx4090": Gpu("RTX 4090", "sm_80", "sm_89", 128, 2.52, 128, 2, 16, 1008, 72),
}
