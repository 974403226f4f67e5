"""The predicted time of a launch, and of the launches of an algorithm: the arithmetic of the model."""

from collections.abc import Sequence
from dataclasses import dataclass

from gpuconv.cuda.device.limits import SCHEDULERS
from gpuconv.cuda.runtime.cost import ISSUE, MEMORY, Wave, busiest, waves
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.spec import Spec
from profiling.counts import WARP, Counted, blocks_per_sm, counted
from tests.ptx.counts import SECTOR

PRODUCT = 16 * 8 * 8  # multiply-adds of tf32 in an instruction of tensor cores


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted time of one or several launches, and its parts, all in microseconds.

    `us` is for kernels that are queued on a stream, `graph_us` for those of a CUDA graph. Each part is what
    the launches would take if nothing else took time. `waves` is how often the device is
    filled, of the longest launch; `bound` the part that decides about it; `kernel` its name.
    """

    us: float
    graph_us: float
    issue_us: float
    math_us: float
    shared_us: float
    l2_us: float
    device_us: float
    latency_us: float
    waves: float
    bound: str
    kernel: str
    launches: int = 1


def predict(spec: Spec, algorithm: str, gpu: Gpu) -> Prediction:
    """What one of the engine's algorithms, by name, is predicted to take for a problem.

    Examples
    --------
    >>> from gpuconv.cuda.runtime.gpu import H200
    >>> from profiling.workloads import convolution
    >>> predict(convolution(1, 8, 8, 8, 3), "conv_tiled", H200).bound
    'latency'
    """
    return together([of_launch(launch, gpu) for launch in counted(spec, algorithm, gpu)])


def together(launches: Sequence[Prediction]) -> Prediction:
    """Launches one after the other; nothing for an empty result."""
    if not launches:
        return Prediction(*[0.0] * 9, "nothing", "", 0)
    longest = max(launches, key=lambda each: each.us)
    sums = [sum(getattr(each, name) for each in launches) for name in _SUMMED]
    return Prediction(*sums, longest.waves, longest.bound, longest.kernel, len(launches))


_OF_WAVES = ("issue", "math", "shared", "latency")
_PARTS = ("issue_us", "math_us", "shared_us", "l2_us", "device_us", "latency_us")
_SUMMED = ("us", "graph_us", *_PARTS)


def of_launch(launch: Counted, gpu: Gpu) -> Prediction:
    """The time of one launch."""
    resident = blocks_per_sm(gpu.each, launch.threads, launch.registers, launch.shared_bytes)
    parts = [
        of_wave(launch, wave, gpu) for wave in waves(busiest(launch.blocks, gpu), resident, _warps(launch))
    ]
    busy = gpu.microseconds(sum(max(each.values()) for each in parts))
    us = {name: gpu.microseconds(sum(each[name] for each in parts)) for name in _OF_WAVES}
    l2_cycles = launch.blocks * launch.l2_bytes / (gpu.measured.l2_rate * gpu.multiprocessors)
    us["l2"] = gpu.microseconds(l2_cycles)
    us["device"] = device_bytes(launch, gpu) / (gpu.device_gbytes * MEMORY) / 1e3
    decisive = max(us, key=us.__getitem__)
    total = gpu.microseconds(gpu.measured.device_latency) + max(busy, us["l2"], us["device"])
    ordered = [us[name.removesuffix("_us")] for name in _PARTS]
    full = launch.blocks / (resident * gpu.multiprocessors)
    queued = total + gpu.measured.stream_us, total + gpu.measured.graph_us
    return Prediction(*queued, *ordered, full, decisive, launch.kernel)


def of_wave(launch: Counted, wave: Wave, gpu: Gpu) -> dict[str, float]:
    """Clocks of a multiprocessor for a wave as often as it comes, each part as if nothing else took time."""
    share = (
        wave.times * wave.scheduler_warps / _warps(launch) * launch.imbalance
    )  # of what a block's warps do
    return {
        "issue": share * launch.work.issued / ISSUE, "math": share * math_cycles(launch, gpu),
        "shared": wave.times * wave.blocks * shared_cycles(launch, gpu),
        "latency": wave.times * launch.path_cycles,
    }  # fmt: skip


def _warps(launch: Counted) -> int:
    return -(-launch.threads // WARP)


def math_cycles(launch: Counted, gpu: Gpu) -> float:
    """Clocks in which the busiest of a scheduler's units for arithmetic carries out a block's
    instructions."""
    units = ("fp32", "fp64", "integer", "special")
    tensor = launch.work.tensor * PRODUCT * SCHEDULERS / gpu.each.tf32 if launch.work.tensor else 0.0
    others = (getattr(launch.work, unit) * WARP * SCHEDULERS / getattr(gpu.each, unit) for unit in units)
    return max(tensor, *others)


def shared_cycles(launch: Counted, gpu: Gpu) -> float:
    """Clocks of the path to shared memory and the first-level cache: passes of 128 bytes, and accesses."""
    loaded = (
        max(requests, sectors * SECTOR / gpu.measured.load_rate) for requests, sectors in launch.accesses
    )
    return launch.shared_cycles * 128 / gpu.each.shared_rate + sum(loaded)


def device_bytes(launch: Counted, gpu: Gpu) -> float:
    """Bytes of device memory: each array once, or what is asked for of it; scratch if the cache cannot keep
    it."""
    scratch = launch.scratch_bytes if launch.scratch_bytes > gpu.l2_bytes else 0
    return min(launch.array_bytes + scratch, launch.blocks * launch.l2_bytes)
