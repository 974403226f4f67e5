"""The gradient by the bias: a pool of all pixels of a channel, or of each image's, and then of the images.

    db[k] = sum over n, p, q of dy[n, k, p, q]

Where the rows of a plane follow each other, the pixels of a plane are a row, and the images its rows: one
window, which is read once and rounded once.
"""

from functools import partial

from gpuconv.algorithm import Algorithm, Algorithms, plan_by, refused_by_all
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.passes import Parts, Step
from gpuconv.cuda.runtime.scratch import ELEMENT_BYTES
from gpuconv.spec import BIAS_GRADIENT, ConvSpec, PlainLayouts, PoolLayouts, PoolSpec
from gpuconv.spec.bias_gradient import sum_of
from gpuconv.spec.dtypes import FLOATS, SIXTEEN_BITS
from gpuconv.spec.layouts import Layout, packed

DY, DB, SUMS = range(3)  # places of pointers; the last is memory of our own
Problem = tuple[PoolSpec, PoolLayouts]


def _whole(spec: ConvSpec, layouts: PlainLayouts) -> Problem:
    """One window for each channel: images are its rows."""
    N, K, P, Q = spec.in_shape
    n, k, _, q = layouts.x.strides
    x = layouts.x._replace(shape=(1, K, N, P * Q), strides=(0, k, n, q))
    return sum_of(1, K, N, P * Q, spec.dtype), PoolLayouts(x, _as_planes(layouts.y))


def _as_planes(y: Layout) -> Layout:
    return y._replace(shape=(1, *y.shape, 1, 1), strides=(0, *y.strides, 0, 0))


def _passes(spec: ConvSpec, layouts: PlainLayouts) -> tuple[Problem, Problem]:
    """The sums of each image, and those of the images."""
    N, K, P, Q = spec.in_shape
    sums = packed((N, K, 1, 1), spec.dtype.numpy)
    n, k, _, _ = sums.strides
    turned = sums._replace(shape=(1, K, N, 1), strides=(0, k, n, 0))
    first = sum_of(N, K, P, Q, spec.dtype), PoolLayouts(layouts.x, sums)
    return first, (sum_of(1, K, N, 1, spec.dtype), PoolLayouts(turned, _as_planes(layouts.y)))


def _refusal(pools: Algorithms, problem: Problem, gpu: Gpu) -> str | None:
    reason = refused_by_all(pools, *problem, gpu)
    return reason and f"no pool can run it: {reason}"


def unsupported_at_once(pools: Algorithms, spec: ConvSpec, layouts: PlainLayouts, gpu: Gpu) -> str | None:
    _, _, p, q = layouts.x.strides
    if spec.P > 1 and p != spec.Q * q:
        return "the rows of a plane do not follow each other"
    return _refusal(pools, _whole(spec, layouts), gpu)


def unsupported_in_passes(pools: Algorithms, spec: ConvSpec, layouts: PlainLayouts, gpu: Gpu) -> str | None:
    return next(filter(None, (_refusal(pools, each, gpu) for each in _passes(spec, layouts))), None)


def worth(spec: ConvSpec, layouts: PlainLayouts, gpu: Gpu) -> bool:
    return True


def plan_at_once(pools: Algorithms, spec: ConvSpec, layouts: PlainLayouts, gpu: Gpu) -> Parts:
    problem = *_whole(spec, layouts), gpu
    plan = plan_by(pools, *problem)
    return Parts((Step(plan, ((DY, 0), (DB, 0), (None, 0))),), len(layouts))


def plan_in_passes(pools: Algorithms, spec: ConvSpec, layouts: PlainLayouts, gpu: Gpu) -> Parts:
    first, second = (plan_by(pools, *each, gpu) for each in _passes(spec, layouts))
    steps = (
        Step(first, ((DY, 0), (SUMS, 0), (None, 0))),
        Step(second, ((SUMS, 0), (DB, 0), (None, 0))),
    )
    between = -(-spec.N * spec.K * spec.itemsize // ELEMENT_BYTES)
    return Parts(steps, len(layouts), between)


def at_once(pools: Algorithms) -> Algorithm:
    """The algorithm that adds up all pixels of a channel by one of `pools`."""
    return Algorithm(
        "bias_at_once", {"dtype": (*FLOATS, *SIXTEEN_BITS), "direction": (BIAS_GRADIENT,)},
        partial(unsupported_at_once, pools), worth, partial(plan_at_once, pools),
        fast_for="what pools of large windows are fast for",
    )  # fmt: skip


def in_passes(pools: Algorithms) -> Algorithm:
    """The algorithm that adds up images, and then what they come to, by two of `pools`."""
    return Algorithm(
        "bias_in_passes", {"dtype": FLOATS, "direction": (BIAS_GRADIENT,)},
        partial(unsupported_in_passes, pools), worth, partial(plan_in_passes, pools),
        fast_for="planes whose rows lie apart",
    )  # fmt: skip
