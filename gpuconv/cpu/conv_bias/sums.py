"""The gradient by the bias: the planes of each image are added up by a pool, and then the images.

    db[k] = sum over n, p, q of dy[n, k, p, q]

What a pool gives for an image is added up in float64. Some planes at a time, numbers of 16 bits are widened
to float32, and what they come to is rounded once; complex ones are taken apart, and their parts added up.
"""

import itertools
from functools import partial

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, plan_by
from gpuconv.cpu.conv.parted import take_apart
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.planes import shared
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.sixteen_bits import widen
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import BIAS_GRADIENT, ConvSpec, PlainLayouts, PoolLayouts
from gpuconv.spec.bias_gradient import sum_of
from gpuconv.spec.dtypes import COMPLEX, PARTS, SUMMED, Dtype
from gpuconv.spec.layouts import packed

BLOCK = 1 << 18  # elements that are converted at a time, and sums of images that are kept


def unsupported(spec: ConvSpec, layouts: PlainLayouts, device: Processor) -> str | None:
    return None


def worth(spec: ConvSpec, layouts: PlainLayouts, device: Processor) -> bool:
    return True


def plan(pools: Algorithms, spec: ConvSpec, layouts: PlainLayouts, device: Processor) -> Run:
    N, K, P, Q = spec.in_shape
    dtype, parts = PARTS.get(spec.dtype, spec.dtype.arithmetic), 1 + (spec.dtype in COMPLEX)
    is_converted = dtype != spec.dtype
    images = 1 if is_converted else max(1, min(N, BLOCK // max(K, 1)))
    planes = max(1, min(K, BLOCK // (P * Q))) if is_converted else max(K, 1)

    def plan_block(n: int, k: int) -> Run:
        k *= parts
        shape = n, k, P, Q
        x = packed(shape, dtype.numpy) if is_converted else layouts.x._replace(shape=shape)
        problem = sum_of(*shape, dtype), PoolLayouts(x, packed((n, k, 1, 1), dtype.numpy)), device
        return plan_by(pools, *problem)

    blocks = [*itertools.product(range(0, N, images), range(0, K, planes))]
    counts = {(min(images, N - n), min(planes, K - k)) for n, k in blocks}
    plans = {each: plan_block(*each) for each in counts}

    def run(x: np.ndarray, y: np.ndarray) -> None:
        total = np.zeros((parts, K))
        for n, k in blocks:
            block = x[n : n + images, k : k + planes]
            count, some = block.shape[:2]
            values, sums = reserve(
                "conv_bias", dtype, parts * block.size if is_converted else 0, count * parts * some
            )  # fmt: skip
            if is_converted:
                _convert(block, values)
                block = values.reshape(count, parts * some, P, Q)
            plans[count, some](block, sums.reshape(count, parts * some, 1, 1))
            with np.errstate(invalid="ignore"):
                added = sums.reshape(count, parts, some).sum(axis=0, dtype=np.float64)
                total[:, k : k + some] += added
        with np.errstate(over="ignore"):
            if parts == 1:
                y[...] = total[0]
            else:
                y.real, y.imag = total

    return run


def _convert(block: np.ndarray, values: np.ndarray) -> None:
    """The block as float32, or its real parts, and then its imaginary ones, of each image."""
    if block.dtype.kind == "c":
        shared(take_apart, Dtype(values.dtype.name), block, values, 1)
    else:
        widen(block, values)


def over(pools: Algorithms) -> Algorithm:
    """The algorithm that adds up planes by one of `pools`."""
    return Algorithm(
        "bias_by_pools", {"dtype": SUMMED, "direction": (BIAS_GRADIENT,)}, unsupported,
        worth, partial(plan, pools), fast_for="what pools of whole planes are fast for",
    )  # fmt: skip
