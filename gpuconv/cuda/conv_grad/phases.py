"""Gradients by the input, phase by phase: each a convolution at stride 1, of which every one is chosen anew.

    y[.., h::stride, w::stride]  =  convolution of x with the taps that these outputs meet, in reverse order

`gpuconv.spec.phases` says which. Nothing is copied: the weights of a phase are those of the problem seen from
its last tap on, with negative strides, and input and output channels exchanged. Where exchanged they lie at
no fixed distance, for there are groups of several channels on both sides, each group is a part of its own.
"""

from collections.abc import Iterator
from functools import partial

from gpuconv.algorithm import Algorithm, Algorithms, plan_by, refused_by_all
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.passes import Part, Parts, convolution
from gpuconv.spec import INPUT_GRADIENT, PRECISIONS, ConvLayouts, ConvSpec, Phase, phases_of
from gpuconv.spec.dtypes import BYTES, CONVOLVED
from gpuconv.spec.layouts import ALIGNED, Layout
from gpuconv.spec.phases import remark_of_phases

Window = tuple[slice, slice]


def unsupported(convolutions: Algorithms, spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> str | None:
    for part in parts_of(spec, layouts):
        if reason := refused_by_all(convolutions, part.spec, part.layouts, gpu):
            return f"no convolution can run one of its phases: {reason}"
    return None


def worth(spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> bool:
    return True


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: ConvLayouts, gpu: Gpu) -> Parts:
    steps = []
    for part in parts_of(spec, layouts):
        problem = part.spec, part.layouts, gpu
        steps.append(convolution(plan_by(convolutions, *problem), part.moved))
    return Parts(tuple(steps), len(layouts))


def parts_of(spec: ConvSpec, layouts: ConvLayouts) -> Iterator[Part]:
    """The convolutions that a problem comes to: of each phase one, or one for each group."""
    for phase in phases_of(spec):
        K, C, groups = phase.spec.K_group, phase.spec.C_group, phase.spec.groups
        exchanged = _exchanged(layouts.w, groups, K, C)
        if exchanged is not None:
            yield _part(phase, phase.spec, layouts, exchanged, (0, 0, 0, 0))
            continue
        of_group = ConvSpec(
            phase.spec.N, C, phase.spec.H, phase.spec.W, K, phase.spec.R, phase.spec.S, phase.spec.pads,
            dilation=phase.spec.dilation, dtype=spec.dtype, precision=spec.precision,
            weight_dtype=spec.weight_dtype, conjugate=spec.conjugate, unrounded=spec.unrounded,
        )  # fmt: skip
        c, k = layouts.w.strides[:2]
        steps = C * layouts.x.strides[1], C * c, K * _step(layouts.bias), K * layouts.y.strides[1]
        for group in range(groups):
            x, w, bias, y = (group * step for step in steps)
            yield _part(phase, of_group, layouts, (k, c), (x, w, bias, y))


def _step(bias: Layout | None) -> int:
    return bias.strides[0] if bias else 0


def _exchanged(w: Layout, groups: int, K: int, C: int) -> tuple[int, int] | None:
    """Bytes between output channels, and between input channels, of all groups; None where they vary."""
    c, k = w.strides[:2]
    if groups == 1 or (C <= 1 and c == K * k):
        return k, c
    return (C * c, c) if K == 1 else None


def _part(
    phase: Phase, spec: ConvSpec, layouts: ConvLayouts, exchanged: tuple[int, int],
    moved: tuple[int, int, int, int],
) -> Part:  # fmt: skip
    x, w, bias, y = moved
    inputs, x = _seen(layouts.x, phase.inputs, spec.in_shape, x)
    taps, w = _seen(layouts.w, phase.taps, spec.weight_shape, w)
    outputs, y = _seen(layouts.y, phase.outputs, spec.out_shape, y)
    weights = taps._replace(strides=(*exchanged, *taps.strides[2:]))
    added = layouts.bias and layouts.bias._replace(
        shape=(spec.K,), offset=(layouts.bias.offset + bias) % ALIGNED
    )
    return Part(spec, ConvLayouts(inputs, weights, added, outputs), (x, w, bias, y))


def _seen(layout: Layout, window: Window, shape: tuple[int, ...], moved: int) -> tuple[Layout, int]:
    """How the window of an array lies, and how many bytes from the start of the array."""
    rows, columns = window
    n, c, h, w = layout.strides
    moved += (rows.start or 0) * h + (columns.start or 0) * w
    strides = n, c, h * (rows.step or 1), w * (columns.step or 1)
    return Layout(shape, strides, layout.dtype, (layout.offset + moved) % ALIGNED), moved


def over(convolutions: Algorithms) -> Algorithm:
    """The algorithm that computes each phase by one of `convolutions`."""
    return Algorithm(
        "conv_by_phases",
        {
            "dtype": CONVOLVED, "weight_dtype": (None, *BYTES), "conjugate": (None, "weight"),
            "unrounded": (False, True), "precision": PRECISIONS, "direction": (INPUT_GRADIENT,),
        },
        partial(unsupported, convolutions), worth, partial(plan, convolutions),
        fast_for="what convolutions at stride 1 are fast for", remark=remark_of_phases,
    )  # fmt: skip
