"""Several blocks share a long sum: their parts go to memory of our own, and a second kernel adds them up.

    y[k, pixel] = (part[0, k, pixel] + part[1, k, pixel] + ...) + bias[k]

The parts are (splits, K, 4 quads) with the pixels (n, p, q) of a channel side by side, padded to whole quads.
A thread computes one quad, 4 pixels of a channel, from loads of 128 bits; threads lie along the quads of all
channels. The order of the sum does not depend on which block is first, so results are the same from run to
run. The parts are added up plainly; the epilogue is applied once, to the whole sum.
"""

from collections.abc import Callable, Iterator
from functools import partial

from gpuconv.cuda.conv.operands import Operands, named_pointers
from gpuconv.cuda.device.division import quotient_and_rest, with_reciprocals
from gpuconv.cuda.device.elements import OPERANDS, SCALARS, inlined, make_storer
from gpuconv.cuda.device.epilogue import finish
from gpuconv.cuda.language import cuda, int64, uint32
from gpuconv.cuda.ptx.memory import load4
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.cost import is_even, moving, start, uncached
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.spec import ConvSpec, Dtype
from gpuconv.spec.dtypes import FLOAT32, INT32, SIXTEEN_BITS

THREADS = 128
MAX_PARTIAL = 2**33  # bytes of one share, whose quads are counted in 31 bits


@inlined
def place_of_pixel(pixel, run, runs, strides):
    """Where a pixel lies in the output, of which `run` pixels lie in a row, and `runs` rows in an image; both
    with their reciprocals."""
    y_n, _, y_p, y_q = strides
    rest, q = quotient_and_rest(pixel, run)
    n, p = quotient_and_rest(rest, runs)
    return int64(n) * y_n + int64(p) * y_p + int64(q) * y_q


def make_function(bias_dtype: Dtype, result: Dtype) -> Callable[..., None]:
    scalar, widen, narrow = SCALARS[result.arithmetic], OPERANDS[bias_dtype].widen, OPERANDS[result].narrow
    store_quad = make_storer(OPERANDS[result], 4)

    def sum_splits(
        parts, bias, y,
        part_split, bias_k, y_n, y_k, y_p, y_q,  # strides in elements
        pixels, quads, splits, run, runs, has_bias, aligned,
        all_quads, quads_multiplier, quads_shift, run_multiplier, run_shift, runs_multiplier, runs_shift,
    ):  # fmt: skip
        quad = uint32(uint32(cuda.blockIdx.x) * uint32(THREADS) + uint32(cuda.threadIdx.x))
        if quad < all_quads:
            k, quad_of_k = quotient_and_rest(quad, (quads, quads_multiplier, quads_shift))
            pixel = uint32(quad_of_k * uint32(4))
            added = widen(bias[int64(k) * bias_k]) if has_bias != uint32(0) else scalar(0)
            total = cuda.local.array(4, scalar)
            for i in range(4):
                total[i] = scalar(0)
            part = int64(quad) * 4
            for _ in range(splits):
                a, b, c, d = load4(parts, part)
                total[0], total[1] = total[0] + a, total[1] + b
                total[2], total[3] = total[2] + c, total[3] + d
                part += part_split

            for i in range(4):
                total[i] = finish(total[i], added)
            for i in range(4):
                here = uint32(pixel + uint32(i))
                place = int64(k) * y_k + place_of_pixel(
                    here, (run, run_multiplier, run_shift), (runs, runs_multiplier, runs_shift),
                    (y_n, y_k, y_p, y_q),
                )  # fmt: skip
                if aligned == uint32(0) and here < pixels:
                    y[place] = narrow(total[i])
                elif i == 0 and aligned != uint32(0):
                    store_quad(y, place, total)

    return sum_splits


def make_kernel(bias: Dtype, result: Dtype) -> Kernel:
    """The kernel for a result, whose sums are of what it is computed with, and for a bias."""
    pointers = named_pointers(parts=result.arithmetic, bias=bias, y=result)
    words = [result] if bias == result else [bias, "unrounded"]
    return Kernel(
        f"sum_splits {' '.join(words)}",
        partial(make_function, bias, result),
        {**pointers, int64: "part_split bias_k y_n y_k y_p y_q"},
        THREADS,
        blocks_per_sm=8,
    )


KERNELS_BY_DTYPE = {
    (bias, result): make_kernel(bias, result)
    for bias, result in (
        (FLOAT32, FLOAT32), *((dtype, dtype) for dtype in (*SIXTEEN_BITS, INT32)),
        *((dtype, FLOAT32) for dtype in SIXTEEN_BITS),
    )
}  # fmt: skip
KERNELS = tuple(KERNELS_BY_DTYPE.values())


def plan_sum(
    spec: ConvSpec, splits: int, bias_stride: int | None, y_strides: tuple[int, ...], run: int, runs: int,
    aligned: bool,
) -> Launch:  # fmt: skip
    """The second kernel, for strides in elements; its pointers are the parts, the bias and the output.

    `run` and `runs` are how the pixels of an image lie, as for the first kernel; with `aligned`, quads do not
    go over the end of a run and are stored at once.
    """
    quads = partial_row(spec) // 4
    scalars = {
        "part_split": 4 * spec.K * quads, "bias_k": bias_stride or 0, **steps(y_nkpq=y_strides),
        "pixels": spec.N * spec.P * spec.Q, "splits": splits, "all_quads": spec.K * quads,
        "has_bias": int(bias_stride is not None), "aligned": int(aligned),
        **with_reciprocals({"quads": quads, "run": run, "runs": runs}),
    }  # fmt: skip
    kernel = KERNELS_BY_DTYPE[Operands.of(spec).bias, spec.result]
    return Launch(kernel, -(-spec.K * quads // THREADS), 0, scalars)


def partial_row(spec: ConvSpec) -> int:
    """Elements of one channel's partial sums: the pixels, and up to 3 more for aligned stores."""
    return -(-spec.N * spec.P * spec.Q // 4) * 4


def partial_bytes(spec: ConvSpec) -> int:
    """Bytes of one share of the partial sums."""
    return 4 * spec.K * partial_row(spec)


def inputs_and_output(spec: ConvSpec) -> tuple[int, int]:
    """(Bytes of input and weights, bytes of the output)."""
    output = spec.result.itemsize * spec.N * spec.K * spec.P * spec.Q
    return spec.min_bytes - output, output


def cycles_of_sum(spec: ConvSpec, splits: int, scratch: int, gpu: Gpu) -> float:
    """Predicted cycles of the second kernel: its start, and what it reads and writes; `scratch` is all memory
    between the kernels, in bytes."""
    parts, output = splits * partial_bytes(spec), inputs_and_output(spec)[1]
    return start(gpu) + moving(parts + output, uncached(parts, scratch, gpu) + output, gpu)


def splits_of(spec: ConvSpec, slabs: int, most: int, workspace: int) -> Iterator[int]:
    """How many blocks may share a depth of so many slabs: one, or up to `most` with as much each, whose sums
    take at most `workspace` bytes."""
    yield 1
    share = partial_bytes(spec)
    for splits in range(2, min(most, slabs) + 1):
        if share <= MAX_PARTIAL and is_even(slabs, splits) and splits * share <= workspace:
            yield splits


def cycles_of_shares(spec: ConvSpec, splits: int, computing: float, gpu: Gpu) -> float:
    """Predicted, of a kernel that takes `computing` cycles but for device memory, and of the sum, if any."""
    parts = splits * partial_bytes(spec) if splits > 1 else 0
    inputs, output = inputs_and_output(spec)
    moved = inputs + (uncached(parts, parts, gpu) if parts else output)
    busy = max(computing, moving(0, moved, gpu))
    return busy + cycles_of_sum(spec, splits, parts, gpu) if parts else busy


def runs_of(spec: ConvSpec, y: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
    """(pixels of a run, runs of an image, strides): an image is one run where its pixels lie side by side."""
    y_n, y_k, y_p, y_q = (0 if n == 1 else step for n, step in zip(spec.out_shape, y, strict=True))
    if spec.Q == 1:
        y_q = y_p if spec.P > 1 else 1
    if spec.P == 1 or y_p == spec.Q * y_q:
        return spec.P * spec.Q, 1, (y_n, y_k, 0, y_q)
    return spec.Q, spec.P, (y_n, y_k, y_p, y_q)


def is_quads(run: int, y: tuple[int, ...]) -> bool:
    """Whether every 4 pixels of a run lie side by side, each 4 on a multiple of 4 elements."""
    return is_grouped(run, y, 4)


def is_grouped(run: int, y: tuple[int, ...], count: int) -> bool:
    """Whether every `count` pixels of a run lie side by side, each on a multiple of so many elements."""
    return run % count == 0 and y[3] == 1 and not any(step % count for step in y[:3])
