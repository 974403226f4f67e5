"""The gradient by the bias: the planes of each image are added up by a pool, and then the images.

    db[k] = sum over n, p, q of dy[n, k, p, q]

What a pool gives for an image is added up in float64. Numbers of 16 bits are widened to float32, some planes
at a time, and what they come to is rounded once.
"""

import itertools
from functools import partial

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, plan_by
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.processor import Processor
from gpuconv.cpu.engine.sixteen_bits import widen
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import BIAS_GRADIENT, ConvSpec, PlainLayouts, PoolLayouts
from gpuconv.spec.bias_gradient import sum_of
from gpuconv.spec.dtypes import FLOATS, SIXTEEN_BITS
from gpuconv.spec.layouts import packed

BLOCK = 1 << 18  # elements that are widened at a time, and sums of images that are kept


def unsupported(spec: ConvSpec, layouts: PlainLayouts, device: Processor) -> str | None:
    return None


def worth(spec: ConvSpec, layouts: PlainLayouts, device: Processor) -> bool:
    return True


def plan(pools: Algorithms, spec: ConvSpec, layouts: PlainLayouts, device: Processor) -> Run:
    N, K, P, Q = spec.in_shape
    dtype, is_narrow = spec.dtype.arithmetic, spec.dtype.is_narrow
    images = 1 if is_narrow else max(1, min(N, BLOCK // max(K, 1)))
    planes = max(1, min(K, BLOCK // (P * Q))) if is_narrow else max(K, 1)

    def plan_block(n: int, k: int) -> Run:
        shape = n, k, P, Q
        x = packed(shape, dtype.numpy) if is_narrow else layouts.x._replace(shape=shape)
        problem = sum_of(*shape, dtype), PoolLayouts(x, packed((n, k, 1, 1), dtype.numpy)), device
        return plan_by(pools, *problem)

    blocks = [*itertools.product(range(0, N, images), range(0, K, planes))]
    counts = {(min(images, N - n), min(planes, K - k)) for n, k in blocks}
    plans = {each: plan_block(*each) for each in counts}

    def run(x: np.ndarray, y: np.ndarray) -> None:
        total = np.zeros(K)
        for n, k in blocks:
            block = x[n : n + images, k : k + planes]
            values, sums = reserve("conv_bias", dtype, block.size if is_narrow else 0, block[:, :, 0, 0].size)
            if is_narrow:
                widen(block, values)
                block = values.reshape(block.shape)
            sums = sums.reshape(*block.shape[:2], 1, 1)
            plans[block.shape[:2]](block, sums)
            with np.errstate(invalid="ignore"):
                total[k : k + planes] += sums[:, :, 0, 0].sum(axis=0, dtype=np.float64)
        with np.errstate(over="ignore"):
            y[...] = total

    return run


def over(pools: Algorithms) -> Algorithm:
    """The algorithm that adds up planes by one of `pools`."""
    return Algorithm(
        "bias_by_pools", {"dtype": (*FLOATS, *SIXTEEN_BITS), "direction": (BIAS_GRADIENT,)}, unsupported,
        worth, partial(plan, pools), fast_for="what pools of whole planes are fast for",
    )  # fmt: skip
