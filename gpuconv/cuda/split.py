"""Several blocks share a long sum: their parts go to memory of our own, and a second kernel adds them up.

    y[k, pixel] = bias[k] + part[0, k, pixel] + part[1, k, pixel] + ...

The parts are (splits, K, row) with the pixels (n, p, q) of a channel side by side, and `row` of them. A
thread computes one output; lanes lie along the pixels. Blocks run over the channels, and over their pixels
first. The order of the sum does not depend on which block is first, so results are the same from run to run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from numba import cuda, float32, int64, types, uint32

from gpuconv.arrays import DeviceArray, library_of
from gpuconv.cuda.compiled import Kernel
from gpuconv.cuda.launch import Launch
from gpuconv.spec import ConvSpec

THREADS = 256


@dataclass(frozen=True, slots=True)
class Passes:
    """Kernels one after the other on one stream, with memory between them: made once, started often.

    `elements` float32 are taken from the library of the output at each start. `launches` are the kernels,
    each with its pointers as places in (the arrays of `start`, that memory).
    """

    elements: int
    launches: tuple[tuple[Launch, tuple[int, ...]], ...]

    def start(self, output: DeviceArray, *arrays: DeviceArray | None) -> "Passes":
        """Queue the kernels on the stream of `output`."""
        library = library_of(output.owner, "the output")
        given = (*arrays, library.scratch(self.elements, output))
        for launch, places in self.launches:
            launch.start(output, *(given[place] for place in places))
        return self

    def queue(self, device: int, stream: int, pointers: Sequence[int]) -> None:
        """Queue the kernels; the last of the pointers is that of the memory between them."""
        for launch, places in self.launches:
            launch.queue(device, stream, [pointers[place] for place in places])


def sum_splits(
    parts, bias, y,
    part_split, bias_k, y_n, y_k, y_p, y_q,  # strides in elements
    pixels, row, splits, blocks_of_channel, P, Q, has_bias,
):  # fmt: skip
    block = uint32(cuda.blockIdx.x)
    k = uint32(block // blocks_of_channel)
    pixel = uint32(uint32(block % blocks_of_channel) * uint32(THREADS) + uint32(cuda.threadIdx.x))
    if pixel < pixels:
        total = float32(0)
        if has_bias != uint32(0):
            total = bias[int64(k) * bias_k]
        part = int64(k) * int64(row) + int64(pixel)
        for _ in range(splits):
            total += parts[part]
            part += part_split
        q, rest = uint32(pixel % Q), uint32(pixel // Q)
        p, n = uint32(rest % P), uint32(rest // P)
        y[int64(n) * y_n + int64(k) * y_k + int64(p) * y_p + int64(q) * y_q] = total


POINTER = types.CPointer(float32)
KERNEL = Kernel(
    "sum_splits float32", sum_splits, (*[POINTER] * 3, *[int64] * 6, *[uint32] * 7), THREADS, blocks_per_sm=4
)


def plan_sum(
    spec: ConvSpec, splits: int, row: int, bias_stride: int | None, y_strides: tuple[int, ...]
) -> Launch:
    """The second kernel, for strides in elements; its pointers are the parts, the bias and the output."""
    pixels = spec.N * spec.P * spec.Q
    blocks = -(-pixels // THREADS)
    scalars = (
        spec.K * row, bias_stride or 0, *y_strides,
        pixels, row, splits, blocks, spec.P, spec.Q, int(bias_stride is not None),
    )  # fmt: skip
    return Launch(KERNEL, spec.K * blocks, 0, scalars)
