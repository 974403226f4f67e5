"""Winograd's minimal filtering: 3x3 kernels at stride 1 with 2.25 times fewer products, or 4 times.

A tile of m x m outputs reads t x t inputs d, t = m + 2, and for kernels g

    y  =  A^T [ sum over c of (G g G^T) * (B^T d B) ] A        (* multiplies element by element)

takes t^2 products a channel where the definition takes 9 m^2. The t^2 elements xi are independent matrix
products:

      U [xi][k][c]   times   V [xi][c][tile]   =   M [xi][k][tile]
      G g G^T                B^T d B               A^T .. A gives y      (the functions of `tiles`)

      +-----------+-----------+--            vector   LANES tiles (in G g G^T: LANES channels)
      | tile      | next tile |              loop     xi, panels of tiles, DEPTH channels, ROWS of k
      |     m x m outputs                    span     up to T tiles, of one or several images
      +-- of t x t inputs, that overlap      task     one of the two below

Either U or V is made once and shared by all threads; of the other, each task makes what it needs:

    by tiles      U is shared; a task makes V of one span, and multiplies it with all output channels
    by channels   V is shared; a task makes U of BLOCK_K output channels, and multiplies it with all spans

The second is for small images of many channels, where U is larger than V and would go to memory and back. M
of BLOCK_K output channels and one span stays in the second-level cache, and goes to y at once.

Accuracy: m = 2, whose matrices hold 0, 1 and 1/2 alone, with sums of DEPTH channels at a time, is off by
about as much as the direct sum: 1.6e-7 to 3.0e-7 of the norm for 16 to 1024 channels of N(0, 1). m = 4, at
the points 0, +-5/8 and +-3/2, is off by 5e-7 to 9e-7, and is taken where the caller allows that with
precision="tf32". For both, the greatest input of a tile bounds the error of its outputs, not the greatest
of each window. Where that would be more than "tf32" allows, as beside an input that is far greater than its
neighbours, the image is computed anew (`ranges`).

Values that are not finite: those of an input tile would reach all outputs of the tile, and finite ones may
overflow in B^T d B. So an image of which any result is not finite is computed anew by another algorithm, too.
That is enough: an output is a sum of elements of M, with factors that are not zero; those are sums of
products of U and V; and these are sums of weights and of inputs, with factors that are not zero. None of
these sums can be finite if one of its terms is not. So where an output is finite, all that it was computed
from is finite, and rounding is all that sets it apart from the true sum; and each weight and input of its
window is among what it was computed from.

What it cannot do: other kernels than 3x3, strides, dilation. What it does badly: few channels, as the
transforms then cost as much as the products, and images that do not fill their tiles.

Measured beside PyTorch 2.13 (oneDNN) on one core of an AMD EPYC (Zen 5), November 2026, ms; C -> C channels:

    N x C @ size   m = 2   m = 4   torch        N x C @ size   m = 2   m = 4   torch
    8 x  64 @ 56     5.0     3.2     9.3        1 x   64 @ 512    52      35      96
    8 x 128 @ 28     4.7     3.0     8.6        1 x  128 @ 256    47      29      91
    8 x 256 @ 14     4.9     3.5     8.4        1 x  256 @ 128    43      26      89
    8 x 512 @  7     6.2     4.1     9.3        1 x  512 @  64    51      31      91
    1 x  64 @ 224    9.8     6.7    18.1        1 x 1024 @  32    53      28      95
    1 x 512 @ 14     3.6     2.7     5.7        1 x  512 @   7   1.3     1.2     2.1
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, select
from gpuconv.cpu.conv.taken import FINISHED, remark_of_epilogue
from gpuconv.cpu.conv.winograd.ranges import compare_ranges, find_small_weights, size_of, within_range
from gpuconv.cpu.conv.winograd.spans import BLOCK_C, Spans, cut_spans, round_up, tile
from gpuconv.cpu.conv.winograd.tiles import (
    POINTS,
    Arrays,
    Sizes,
    multiply,
    transform_inputs,
    transform_outputs,
    transform_weights,
)
from gpuconv.cpu.engine.compiled import TASKS, Kernel, kernel, source, target, workspace
from gpuconv.cpu.engine.cost import Amounts, from_memory, priced, steps_of
from gpuconv.cpu.engine.epilogue import epilogue_of, epilogue_type
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.layout import in_rows
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.cpu.simd import LANES, ROWS, VECTORS, claim
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import FLOAT32, FLOATS
from gpuconv.spec.layouts import ConvLayouts
from gpuconv.threads import share
from gpuconv.workspace import beyond_limit, workspace_limit

SHARING = 16  # multiplications that take as long as to transform an element of what threads share
TRANSFORMS = {2: (1, 1, 1), 4: (4.6, 4.2, 2.1)}  # of inputs, outputs, a kernel: beside those of m = 2

Scalar = numba.types.Float
PAIR = numba.types.UniTuple(numba.int64, 2)


def _weight(scalar: Scalar) -> numba.types.Array:
    return numba.types.Array(scalar, 4, "C", readonly=True, aligned=False)


def _plan_and_tasks(scalar: Scalar) -> tuple:
    sizes = numba.types.NamedUniTuple(numba.int64, len(Sizes._fields), Sizes)
    arrays = numba.types.NamedUniTuple(workspace(scalar), len(Arrays._fields), Arrays)
    return sizes, arrays, *TASKS


def _weights_signature(scalar: Scalar) -> tuple:
    return _weight(scalar), PAIR, numba.int64, *_plan_and_tasks(scalar)


def _inputs_signature(scalar: Scalar) -> tuple:
    return source(scalar, 4), numba.boolean, PAIR, PAIR, numba.int64, *_plan_and_tasks(scalar)


def _spans_signature(scalar: Scalar) -> tuple:
    operands = source(scalar, 4), _weight(scalar), source(scalar, 1), source(scalar, 4), target(scalar, 4)
    flags = workspace(numba.boolean), epilogue_type(scalar), *[numba.boolean] * 3
    return *operands, *flags, PAIR, PAIR, numba.int64, *_plan_and_tasks(scalar)


def make_kernels(m: int) -> tuple[Kernel, Kernel, Kernel]:
    """The kernels for tiles of m x m outputs: closures over numbers alone, which Numba can keep on disk.

    What they do of the problem is `part`: by tiles some output channels, of one group or of all; by channels
    some spans.
    """
    after, t = m + 1, m + 2
    dtypes = FLOATS if m == 2 else (FLOAT32,)  # whose error "tf32" is

    @kernel(_weights_signature, dtypes)
    def share_weights(w, part, groups, sizes, arrays, counter, tasks):
        """U of the output channels: one after the other, that of each block of each group."""
        K = min(w.shape[0] // groups, part[1] - part[0])
        blocks, pieces = -(-K // sizes.K), -(-sizes.K // ROWS)
        while True:
            task = claim(counter)  # = (group * blocks + block) * pieces + piece, of ROWS output channels
            if task >= tasks:
                break
            block, row = task // pieces, task % pieces * ROWS
            k_group = part[0] + block // blocks * K
            k = k_group + block % blocks * sizes.K + row
            for i in range(k, min(k + min(ROWS, sizes.K - row), k_group + K)):
                transform_weights(m, t, w, i, sizes, arrays, block * t * t * sizes.U_step, row + i - k)

    @kernel(_inputs_signature, dtypes)
    def share_inputs(x, x_in_rows, pads, part, groups, sizes, arrays, counter, tasks):
        """V of the spans: one after the other, that of each span of each group."""
        C_group, spans = x.shape[1] // groups, part[1] - part[0]
        tiles, pieces = x.shape[0] * sizes.TH * sizes.TW, -(-C_group // BLOCK_C)
        while True:
            task = claim(counter)  # = (g * spans + span) * pieces + piece, of BLOCK_C input channels
            if task >= tasks:
                break
            g, span, c = task // pieces // spans, task // pieces % spans, task % pieces * BLOCK_C
            begin, c_begin = (part[0] + span) * sizes.T, g * C_group + c
            end, c_end = min(begin + sizes.T, tiles), min(c_begin + BLOCK_C, (g + 1) * C_group)
            V_at = task // pieces * t * t * sizes.V_step + c * sizes.T
            transform_inputs(m, after, t, x, x_in_rows, c_begin, c_end, pads, begin, end, sizes, arrays, V_at)

    @kernel(_spans_signature, dtypes)
    def multiply_spans(
        x, w, bias, residual, y, spoilt, epilogue, x_in_rows, y_in_rows, by_tiles, pads, part, groups, sizes,
        arrays, counter, tasks,
    ):  # fmt: skip
        C_group, K_group, T = x.shape[1] // groups, y.shape[1] // groups, sizes.T
        tiles = y.shape[0] * sizes.TH * sizes.TW
        k_part, span_part = (part[0], part[1]), (0, -(-tiles // T))
        if not by_tiles:
            k_part, span_part = (0, y.shape[1]), (part[0], part[1])
        K, spans = min(K_group, k_part[1] - k_part[0]), span_part[1] - span_part[0]
        blocks = -(-K // sizes.K)
        while True:
            task = claim(counter)  # = group * spans + span, or group * blocks + block
            if task >= tasks:
                break
            group = task // (spans if by_tiles else blocks)
            k_first = k_part[0] + group * K
            g = k_first // K_group
            block, block_end, span, span_end = task % blocks, task % blocks + 1, 0, spans
            if by_tiles:
                block, block_end, span, span_end = 0, blocks, task % spans, task % spans + 1
                c, begin, end = g * C_group, span * T, min(span * T + T, tiles)
                transform_inputs(
                    m, after, t, x, x_in_rows, c, c + C_group, pads, begin, end, sizes, arrays, 0
                )
            for b in range(block, block_end):
                k, k_end = k_first + b * sizes.K, min(k_first + (b + 1) * sizes.K, k_first + K)
                if not by_tiles:
                    for i in range(k, k_end):
                        transform_weights(m, t, w, i, sizes, arrays, 0, i - k)
                for s in range(span, span_end):
                    begin = (span_part[0] + s) * T
                    end = min(begin + T, tiles)
                    U_at = (group * blocks + b) * t * t * sizes.U_step if by_tiles else 0
                    V_at = 0 if by_tiles else (g * spans + s) * t * t * sizes.V_step
                    multiply(t, k_end - k, C_group, end - begin, sizes, arrays, U_at, V_at)
                    transform_outputs(
                        m, t, residual, y, epilogue, y_in_rows, k, k_end, bias, begin, end, sizes, arrays,
                        spoilt,
                    )  # fmt: skip

    return share_weights, share_inputs, multiply_spans


_KERNELS = {m: make_kernels(m) for m in POINTS}
KERNELS: tuple[Kernel, ...] = (
    *(kernel for three in _KERNELS.values() for kernel in three), compare_ranges, find_small_weights
)  # fmt: skip


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    if (spec.R, spec.S, spec.stride, spec.dilation) != (3, 3, (1, 1), (1, 1)):
        return "only for 3x3 kernels at stride 1 and dilation 1"
    if spec.C_group == 0:
        return "there are no input channels"
    if 0 in spec.out_shape:
        return None
    needed = cut_spans(spec, 1, workspace_limit()).needed(spec.itemsize)
    return beyond_limit(max(needed, size_of(spec) * spec.itemsize))


def amounts(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Amounts:
    """What it does, on one thread (`engine.cost`): vectors of tiles are transformed, and kernels."""
    m, lanes = tile(spec), LANES[spec.dtype]
    inputs, outputs, kernel = TRANSFORMS[m]
    tiles = round_up(spec.N * -(-spec.P // m) * -(-spec.Q // m), lanes) // lanes
    cycles, _ = steps_of(spec.K_group, VECTORS)
    return {
        "call": 1,
        "products": (m + 2) ** 2 * tiles * cycles / VECTORS * spec.C,
        "inputs": tiles * spec.C * inputs,
        "outputs": tiles * spec.K * outputs,
        "kernels": spec.K * spec.C_group * kernel,
        "memory": from_memory(spec),
    }


def is_allowed(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> bool:
    """Whether the caller allows its error without naming it."""
    return spec.may_mix_neighbours


def plan(others: Algorithms, spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    if 0 in spec.out_shape:
        return lambda *arrays: None
    convolve, anew = plan_tiles(spec, layouts, device), plan_anew(others, spec, layouts, device)
    if spec.allows_tf32:
        convolve = within_range(convolve, spec, layouts)

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, *others: np.ndarray) -> None:
        spoilt = np.zeros(spec.N, np.bool_)
        convolve(x, w, bias, others[0], others[-1], spoilt)
        for n in np.flatnonzero(spoilt):
            anew()(x[n : n + 1], w, bias, *(each[n : n + 1] for each in others))

    return run


def plan_anew(
    others: Algorithms, spec: ConvSpec, layouts: ConvLayouts, device: Processor
) -> Callable[[], Run]:
    """How one image is computed by the first of `others` that can; compiled when it is first needed."""
    given = {name: getattr(layouts, name) for name in ("x", "residual", "y") if name in layouts._fields}
    images = {name: each._replace(shape=(1, *each.shape[1:])) for name, each in given.items()}
    problem = replace(spec, N=1), layouts._replace(**images), device
    other = select(others, *problem)
    return cache(lambda: other.plan(*problem))


def plan_tiles(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    """run(x, w, bias, residual or y, y, spoilt): y, pass by pass, and whether image n is to be made anew."""
    cut = cut_spans(spec, device.threads, workspace_limit())
    share_weights, share_inputs, multiply_spans = _KERNELS[cut.m]
    prepare_part = (share_weights if cut.by_tiles else share_inputs).entry(spec.dtype)
    multiply_part = multiply_spans.entry(spec.dtype)
    pads, x_in_rows = (spec.pads[0][0], spec.pads[1][0]), in_rows(layouts.x)
    flags = epilogue_of(spec, layouts), x_in_rows, in_rows(layouts.y), cut.by_tiles, pads
    geometry = spec.groups, cut.sizes
    passes = [(part, *cut.tasks(spec, part)) for part in cut.parts]

    def run(
        x: np.ndarray, w: np.ndarray, bias: np.ndarray, residual: np.ndarray, y: np.ndarray,
        spoilt: np.ndarray,
    ) -> None:  # fmt: skip
        (shared,) = reserve("conv_winograd, shared", spec.dtype, cut.shared)
        source = (w,) if cut.by_tiles else (x, x_in_rows, pads)

        def compute_part(part: tuple[int, int], first: int, then: int) -> None:
            def prepare(counter: np.ndarray) -> None:
                prepare_part(*source, part, *geometry, arrays_of(spec, cut, shared), counter, first)

            def multiply(counter: np.ndarray) -> None:
                arrays = arrays_of(spec, cut, shared)
                multiply_part(x, w, bias, residual, y, spoilt, *flags, part, *geometry, arrays, counter, then)

            share(prepare, first, SHARING * cut.shared)
            share(multiply, then, spec.flops // 4)

        for each in passes:
            compute_part(*each)

    return run


def arrays_of(spec: ConvSpec, cut: Spans, shared: np.ndarray) -> Arrays:
    """What a thread works in: U or V, which is shared, and what it has for itself."""
    own, *rest = reserve("conv_winograd", spec.dtype, *cut.own)
    arrays = Arrays(*((shared, own) if cut.by_tiles else (own, shared)), *rest)
    arrays.zeros[:] = arrays.lines[-cut.sizes.line :] = 0
    return arrays


def beside(others: Algorithms) -> Algorithm:
    """The algorithm that leaves images that its tiles would spoil to the first of `others` that can."""
    return Algorithm(
        "conv_winograd", {**FINISHED, "precision": (None, "tf32")}, unsupported, is_allowed,
        partial(plan, others),
        fast_for="3x3 kernels and many channels: 1.5 to 2 times as fast as PyTorch, 2.4 to 3.5 times with "
        "tf32 (AMD Zen 5, November 2026)",
        remark=remark, cost=priced("conv_winograd", amounts),
    )  # fmt: skip


def remark(spec: ConvSpec) -> str:
    m = tile(spec)
    tiles = f"in tiles of {m}x{m} outputs" + (", as precision='tf32' allows" if m == 4 else "")
    return "; ".join(filter(None, (tiles, remark_of_epilogue(spec))))
