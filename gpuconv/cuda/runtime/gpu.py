"""What is known of a GPU: the one description that plans, predictions of cost and the launch go by.

What a multiprocessor has and does in a clock depends on the compute capability alone: CUDA C++ Programming
Guide, release 13.0, section "Compute Capabilities", table "Technical Specifications per Compute Capability",
and table "Throughput of Native Arithmetic Instructions". How many there are, clocks and memory are asked of
the driver, or stand here for cards that are planned for without one: NVIDIA's data sheets of H200, H100 SXM,
A100 80GB SXM, L4, and the Ada whitepaper for the RTX 4090. The clock is the boost clock that the data sheet's
peak is computed with: a card held back by its power limit runs slower, an L4 most of all.

What no data sheet says, `MEASURED`, comes from the tables of RRZE's microbenchmarks,
https://github.com/RRZE-HPC/gpu-benches at 1038c5d: gpu-l2-cache (rate, and size until the rate falls),
gpu-cache and gpu-strides (loads that the first-level cache serves), gpu-small-kernels (10,000 kernels one
behind the other; the time a kernel takes beyond its work is the same from 64 KB to 1 GB), gpu-latency (loads
that wait for each other, in as much memory as no cache keeps). Nothing in this file has been measured by this
project.
"""

import functools
from dataclasses import dataclass

from cuda.bindings import driver

from gpuconv.cuda.runtime.compiled import compute_capability
from gpuconv.cuda.runtime.driver import check, start_driver
from gpuconv.engines import ARCHITECTURES

OLDEST = (7, 5)


@dataclass(frozen=True, slots=True)
class Multiprocessor:
    """One multiprocessor: what it holds at once, and what it does in a clock.

    Attributes
    ----------
    threads, blocks : int
        That it holds at most.
    shared_bytes : int
        Of shared memory.
    fp32, fp64, integer, special : int
        Results of one thread in a clock: fused multiply-adds; integer additions, logic, comparisons, minima
        and selections; conversions and approximations.
    shared_unit, system_bytes : int
        Bytes that shared memory is handed out by, and that each block takes besides its own.
    shared_rate : int
        Bytes of shared memory in a clock.
    tf32 : int
        Multiply-adds of tf32 in a clock, by `mma.sync`; 0 where there are no tensor cores for it. Of 16 bits,
        summed in float32, there are twice as many, and of bytes four times.
    """

    threads: int
    blocks: int
    shared_bytes: int
    fp32: int
    fp64: int
    integer: int = 64
    special: int = 16
    shared_unit: int = 128
    system_bytes: int = 1024
    shared_rate: int = 128
    tf32: int = 0


# tf32: dense peaks of NVIDIA's white papers, by multiprocessors and boost clock: A100 156 TFLOP/s, RTX 3090
# 35.6, RTX 4090 82.6 (an L4's data sheet says twice as much), RTX 5090 104.8. An H100 has 1024, of which
# `mma.sync` reaches 62.9 % on the average of its types: Luo et al., "Benchmarking and Dissecting the Nvidia
# Hopper GPU Architecture via Microbenchmarking", arXiv 2402.13499. What it reaches on sm_100, whose peak is
# for other instructions too, is not known: taken for that of an A100.
MULTIPROCESSORS = {
    (7, 5): Multiprocessor(1024, 16, 64 * 1024, 64, 2, shared_unit=256, system_bytes=0),
    (8, 0): Multiprocessor(2048, 32, 164 * 1024, 64, 32, tf32=512),
    (8, 6): Multiprocessor(1536, 16, 100 * 1024, 128, 2, tf32=128),
    (8, 9): Multiprocessor(1536, 24, 100 * 1024, 128, 2, tf32=128),
    (9, 0): Multiprocessor(2048, 32, 228 * 1024, 128, 64, tf32=644),
    (10, 0): Multiprocessor(2048, 32, 228 * 1024, 128, 64, tf32=512),
    (12, 0): Multiprocessor(1536, 24, 100 * 1024, 128, 2, tf32=128),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What others have measured on cards of one compute capability.

    Attributes
    ----------
    l2_rate : float
        Bytes that reach one multiprocessor from the second-level cache in a clock, all of them asking.
    l2_kept : float
        The share of that cache which is used before its rate falls.
    load_rate : int
        Bytes of loads that the first-level cache serves in a clock.
    stream_us, graph_us : float
        What a kernel of a stream, and of a CUDA graph, takes beyond its work, in microseconds.
    device_latency : int
        Clocks from a load to its value in device memory.
    """

    l2_rate: float
    l2_kept: float
    load_rate: int
    stream_us: float
    graph_us: float
    device_latency: int


A100 = Measured(35.5, 0.65, 128, 2.7, 1.4, 552)  # 5.42 TB/s up to 26 of 40 MB; 126 bytes of loads
# The latency is that of a GH200.
HOPPER = Measured(35.0, 0.75, 128, 2.5, 1.3, 689)  # H100 PCIe 6.95 TB/s, to 37 of 50 MB; H200 37 bytes, to 41
ADA = Measured(14.7, 0.85, 64, 1.6, 1.0, 625)  # L40: 5.2 TB/s up to 85 of 96 MB; 64 bytes of loads, as an A40
MEASURED = {
    (7, 5): ADA,  # not measured: taken for the nearest that was
    (8, 0): A100,
    (8, 6): ADA,
    (8, 9): ADA,
    (9, 0): HOPPER,
    (10, 0): HOPPER,  # not measured
    (12, 0): ADA,  # not measured
}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU.

    Attributes
    ----------
    name : str
    capability : tuple of int
        Its compute capability.
    multiprocessors : int
    clock : float
        In GHz.
    device_gbytes : float
        GB/s of device memory.
    l2_mbytes : int
        Size of the second-level cache.
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    clock: float
    device_gbytes: float
    l2_mbytes: int

    @property
    def each(self) -> Multiprocessor:
        """One of its multiprocessors: what is known of the newest capability that is not newer."""
        return multiprocessor(self.capability)

    @property
    def measured(self) -> Measured:
        """What others have measured on such cards, found likewise."""
        return MEASURED[_known(self.capability)]

    @property
    def arch(self) -> str:
        """The newest of our architectures of the GPU's generation that is not newer than the GPU.

        Raises
        ------
        RuntimeError
            If the GPU is too old.
        """
        major, minor = self.capability
        if self.capability < OLDEST:
            raise RuntimeError(f"{self.name} is sm_{major}{minor}; gpuconv needs sm_75 or newer")
        known = [arch for arch in ARCHITECTURES if compute_capability(arch)[0] == major]
        fitting = [arch for arch in known if compute_capability(arch)[1] <= minor]
        return fitting[-1] if fitting else f"sm_{major}{minor}"

    @property
    def block_shared_bytes(self) -> int:
        """The most shared memory that a block may ask for."""
        return self.each.shared_bytes - self.each.system_bytes

    @property
    def device_bytes(self) -> float:
        """Bytes of device memory that move in a clock."""
        return self.device_gbytes / self.clock

    @property
    def l2_bytes(self) -> float:
        """Bytes of the second-level cache in which data stay until they are read again."""
        return self.measured.l2_kept * self.l2_mbytes * 1e6

    @property
    def gflops(self) -> float:
        """Peak of float32, a multiply-add being two operations.

        Examples
        --------
        >>> round(H200.gflops / 1e3)
        67
        """
        return 2 * self.each.fp32 * self.multiprocessors * self.clock

    def tensor_rate(self, itemsize: int) -> float:
        """Multiply-adds of elements of so many bytes that tensor cores of a multiprocessor do in a clock.

        Examples
        --------
        >>> H200.tensor_rate(1) / H200.tensor_rate(2)
        2.0
        """
        return self.each.tf32 * 4 / itemsize

    def resident(self, shared_bytes: int) -> int:
        """How many blocks that take so many bytes of shared memory a multiprocessor holds, at least 1."""
        return max(1, self.each.shared_bytes // (shared_bytes + self.each.system_bytes))

    def microseconds(self, cycles: float) -> float:
        """How long so many clocks take."""
        return cycles / self.clock / 1e3

    def cycles(self, microseconds: float) -> float:
        """How many clocks pass meanwhile."""
        return microseconds * self.clock * 1e3


GPUS = {
    "h200": Gpu("H200", (9, 0), 132, 1.98, 4800, 50),
    "h100": Gpu("H100 SXM", (9, 0), 132, 1.98, 3350, 50),
    "a100": Gpu("A100 SXM 80GB", (8, 0), 108, 1.41, 2039, 40),
    "l4": Gpu("L4", (8, 9), 58, 2.04, 300, 48),
    "rtx4090": Gpu("RTX 4090", (8, 9), 128, 2.52, 1008, 72),
}
H200 = GPUS["h200"]


@functools.cache
def _known(capability: tuple[int, int]) -> tuple[int, int]:
    """The newest compute capability that is known and not newer; the oldest, if none is."""
    return max((known for known in MULTIPROCESSORS if known <= capability), default=min(MULTIPROCESSORS))


def multiprocessor(capability: tuple[int, int]) -> Multiprocessor:
    """That of the newest compute capability that is known and not newer; of the oldest, if none is."""
    return MULTIPROCESSORS[_known(capability)]


@functools.cache
def gpu(ordinal: int) -> Gpu:
    """A device of this machine, or an H200 where there is no driver, for whoever plans without one."""
    try:
        start_driver()
    except RuntimeError:
        return H200
    handle = check(driver.cuDeviceGet(ordinal))
    name = check(driver.cuDeviceGetName(256, handle)).split(b"\0")[0].decode()

    def asked(attribute: str) -> int:
        number = getattr(driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{attribute}")
        return check(driver.cuDeviceGetAttribute(number, handle))

    capability = asked("COMPUTE_CAPABILITY_MAJOR"), asked("COMPUTE_CAPABILITY_MINOR")
    clock = asked("CLOCK_RATE") / 1e6  # of kHz; both are 0 where the driver does not tell
    moved = 2 * asked("MEMORY_CLOCK_RATE") * asked("GLOBAL_MEMORY_BUS_WIDTH") / 8 / 1e6
    return Gpu(
        name, capability, asked("MULTIPROCESSOR_COUNT"), clock or H200.clock, moved or H200.device_gbytes,
        asked("L2_CACHE_SIZE") >> 20,
    )  # fmt: skip


def gpus() -> list[Gpu]:
    """The GPUs of this machine, by their ordinals; none where there is no driver."""
    try:
        start_driver()
    except RuntimeError:
        return []
    return [gpu(ordinal) for ordinal in range(check(driver.cuDeviceGetCount()))]
