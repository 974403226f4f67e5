"""The gradient by the weight as a convolution whose images and channels are exchanged.

    dw[k, c, r, s] = sum over n, p, q of dy[n, k, p, q] * x[n, c, p stride + r dilation - top, ..]

is a convolution of x, its channels as images and its images as channels, by dy, weights of P x Q taps: its
stride is the dilation, its dilation the stride, and its results are R x S. Nothing is copied: the arrays are
seen with their axes exchanged. Each group is a part of its own.
"""

from collections.abc import Iterator
from functools import partial

from gpuconv.algorithm import Algorithm, Algorithms, plan_by, refused_by_all
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.passes import Part, Parts, Step
from gpuconv.spec import PRECISIONS, WEIGHT_GRADIENT, ConvLayouts, ConvSpec, Pair, WeightGradientLayouts
from gpuconv.spec.axis import Axis
from gpuconv.spec.checks import axes_of
from gpuconv.spec.dtypes import SUMMED
from gpuconv.spec.layouts import ALIGNED, Layout

PLACES = 0, 1, None, 2  # of x, dy, no bias and y, among those of x, dy and y


def unsupported(
    convolutions: Algorithms, spec: ConvSpec, layouts: WeightGradientLayouts, gpu: Gpu
) -> str | None:
    for part in parts_of(spec, layouts):
        if reason := refused_by_all(convolutions, part.spec, part.layouts, gpu):
            return f"no convolution can run one of its groups: {reason}"
    return None


def worth(spec: ConvSpec, layouts: WeightGradientLayouts, gpu: Gpu) -> bool:
    return True


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: WeightGradientLayouts, gpu: Gpu) -> Parts:
    steps = []
    for part in parts_of(spec, layouts):
        problem = part.spec, part.layouts, gpu
        begins = tuple(zip(PLACES, part.moved, strict=True))
        steps.append(Step(plan_by(convolutions, *problem), begins))
    return Parts(tuple(steps), len(layouts))


def parts_of(spec: ConvSpec, layouts: WeightGradientLayouts) -> Iterator[Part]:
    """The convolution of each group."""
    (H, above), (W, beside) = map(seen, axes_of(spec), (spec.P, spec.Q))
    C, K = spec.C_group, spec.K_group
    of_group = ConvSpec(
        C, spec.N, H, W, K, spec.P, spec.Q, (above, beside), spec.dilation, spec.stride, 1, spec.dtype,
        spec.precision, conjugate=spec.conjugate,
    )  # fmt: skip
    steps = C * layouts.x.strides[1], K * layouts.dy.strides[1], K * layouts.y.strides[0]
    for group in range(spec.groups):
        x, dy, y = (group * step for step in steps)
        yield Part(
            of_group,
            ConvLayouts(
                _exchanged(layouts.x, of_group.in_shape, x),
                _exchanged(layouts.dy, of_group.weight_shape, dy),
                None,
                _exchanged(layouts.y, of_group.out_shape, y),
            ),
            (x, dy, 0, y),
        )


def seen(axis: Axis, outputs: int) -> tuple[int, Pair]:
    """How much of an axis the windows see, and the padding around it."""
    reach = (outputs - 1) * axis.stride + axis.reach
    before = min(axis.pads[0], reach)
    size = min(axis.size, reach - before)
    return size, (before, reach - before - size)


def _exchanged(layout: Layout, shape: tuple[int, ...], moved: int) -> Layout:
    first, second, *rest = layout.strides
    return Layout(shape, (second, first, *rest), layout.dtype, (layout.offset + moved) % ALIGNED)


def _remark(spec: ConvSpec) -> str:
    return f"{spec.groups} convolution{'s' * (spec.groups > 1)} with images and channels exchanged"


def over(convolutions: Algorithms) -> Algorithm:
    """The algorithm that computes each group by one of `convolutions`."""
    return Algorithm(
        "conv_weight_exchanged",
        {
            "dtype": SUMMED, "precision": PRECISIONS, "direction": (WEIGHT_GRADIENT,),
            "conjugate": (None, "input"),
        },
        partial(unsupported, convolutions), worth, partial(plan, convolutions),
        fast_for="what convolutions with large windows are fast for", remark=_remark,
    )  # fmt: skip
