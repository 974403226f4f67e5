"""Complex convolutions as real ones of twice as many channels: the real parts of a group, then the imaginary.

    (y_re)   ( w_re  -w_im ) (x_re)
    (    ) = (             ) (    )        four real products each, and never three
    (y_im)   ( w_im   w_re ) (x_im)

With three products, as PyTorch 2.13 computes, the smaller part is lost in the rounding of the larger: of 36
products of 1e8 + i by 1 it makes 0i.

Measured on 2026-11-29 on one core of an Intel Xeon (Sapphire Rapids), idle, in ms for a batch of 8 of
complex64, beside PyTorch 2.13: 4.0 to 5.2 times the time of the float32 convolution where it multiplies much.

    7x7    3 ->   64 @ 224, 2    60   PyTorch  162      1x1 1024 -> 256 @ 14       23   PyTorch   20
    1x1   64 ->  256 @ 56        31   PyTorch  115      3x3  512 -> 512 @ 7        46   PyTorch   37
    3x3   64 ->   64 @ 56        26   PyTorch   45      3x3  144 depthwise @ 56    11   PyTorch   87
`engine.lowered` cuts a problem into blocks, whose parts are taken apart and put together by all threads. The
adjoint of that matrix is its transpose with w_im negated, so the gradient by the input is that of the real
convolution with the weights conjugated, and a transposed convolution the one with the weights as they are.
"""

from dataclasses import replace

import numba
import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms
from gpuconv.cpu.engine import lowered
from gpuconv.cpu.engine.compiled import TASKS, Kernel, kernel, source, target, workspace
from gpuconv.cpu.engine.lowered import Lowering, Weights
from gpuconv.cpu.engine.planes import PLANES, ROWS, plane_at, shared
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.cpu.simd import claim, pointer
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import COMPLEX, PARTS


def _complex(scalar):
    return numba.complex64 if scalar == numba.float32 else numba.complex128


def _takes_apart(scalar):
    return source(_complex(scalar), 4), workspace(scalar), *[numba.int64] * 3, *TASKS


def _puts_together(scalar):
    return target(_complex(scalar), 4), workspace(scalar), *[numba.int64] * 3, *TASKS


@kernel(_takes_apart)
def take_apart(x, values, groups, block, together, counter, tasks):
    """values (n, group, part, channel of the group, h, w) = x (n, c, h, w)."""
    N, C, H, W = x.shape
    channels = C // max(groups, 1)
    while True:
        task = claim(counter)
        if task >= tasks:
            break
        for plane in range(task * block, min((task + 1) * block, N * C)):
            n, c = plane // C, plane % C
            at = (plane + (n * groups + c // channels) * channels) * H * W
            first = plane_at(x, plane)
            runs, length = (1, H * W) if together >= PLANES else (H, W)
            for h in range(runs):
                re = pointer(values, at + h * length)
                im = pointer(values, at + channels * H * W + h * length)
                if together >= ROWS:
                    row = pointer(x, first + h * (x.strides[2] // x.itemsize))
                    for i in range(length):
                        re[i], im[i] = row[i].real, row[i].imag
                else:
                    for i in range(length):
                        re[i], im[i] = x[n, c, h, i].real, x[n, c, h, i].imag


@kernel(_puts_together)
def put_together(y, sums, groups, block, together, counter, tasks):
    """y (n, c, h, w) of sums (n, group, part, channel of the group, h, w)."""
    N, C, H, W = y.shape
    channels = C // max(groups, 1)
    while True:
        task = claim(counter)
        if task >= tasks:
            break
        for plane in range(task * block, min((task + 1) * block, N * C)):
            n, c = plane // C, plane % C
            at = (plane + (n * groups + c // channels) * channels) * H * W
            first = plane_at(y, plane)
            runs, length = (1, H * W) if together >= PLANES else (H, W)
            for h in range(runs):
                re = pointer(sums, at + h * length)
                im = pointer(sums, at + channels * H * W + h * length)
                if together >= ROWS:
                    row = pointer(y, first + h * (y.strides[2] // y.itemsize))
                    for i in range(length):
                        row[i] = complex(re[i], im[i])
                else:
                    for i in range(length):
                        y[n, c, h, i] = complex(re[i], im[i])


KERNELS: tuple[Kernel, ...] = take_apart, put_together


def lower(spec: ConvSpec) -> ConvSpec:
    """The real problem, in whose layers neighbours may be mixed where they may in the complex one."""
    return replace(
        spec, C=2 * spec.C, K=2 * spec.K, dtype=PARTS[spec.dtype], conjugate=None,
        precision=None if spec.may_mix_neighbours else "ieee",
    )  # fmt: skip


def weights_of_parts(spec: ConvSpec, w: np.ndarray, bias: np.ndarray) -> list[Weights]:
    """[[re, -im], [im, re]], of each group; with im negated of conjugates, and of what is transposed."""
    K, C, R, S = spec.K_group, spec.C_group, spec.R, spec.S
    (stacked,) = reserve("conv_parted, weights", PARTS[spec.dtype], 4 * w.size)
    parts = stacked.reshape(spec.groups, 2, K, 2, C, R, S)
    given = w.reshape(spec.groups, K, C, R, S)
    parts[:, 0, :, 0] = parts[:, 1, :, 1] = given.real
    is_negated = (spec.conjugate == "weight") != (spec.direction != "forward")
    below = 0 if is_negated else 1  # the output that im is added to
    parts[:, below, :, 1 - below] = given.imag
    np.negative(given.imag, out=parts[:, 1 - below, :, below])
    grouped = bias.reshape(spec.groups, 1, -1)
    offsets = np.concatenate([grouped.real, grouped.imag], 1).reshape(-1)
    return [(stacked.reshape(2 * spec.K, 2 * C, R, S), offsets)]


def read(spec: ConvSpec, x: np.ndarray, values: np.ndarray) -> None:
    shared(take_apart, PARTS[spec.dtype], x, values, spec.groups)


def write(spec: ConvSpec, sums: np.ndarray, bias: np.ndarray, y: np.ndarray, first: bool) -> None:
    shared(put_together, PARTS[spec.dtype], y, sums, spec.groups)


LOWERING = Lowering("conv_parted", lower, weights_of_parts, read, write)


def over(algorithms: Algorithms, direction: str = "forward") -> Algorithm:
    """The algorithm that computes the parts with the first of `algorithms` that is fast for them."""
    return lowered.over(
        LOWERING, algorithms,
        {"dtype": COMPLEX, "direction": (direction,), "conjugate": (None, "weight")}, "complex numbers",
        lambda spec, name: f"four products of {PARTS[spec.dtype]} each, summed by {name}",
    )  # fmt: skip
