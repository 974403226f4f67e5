"""Gradients by the input, phase by phase: each a convolution at stride 1, of which every one is chosen anew.

    y[.., h::stride, w::stride]  =  convolution of x with the taps that these outputs meet, in reverse order

`gpuconv.spec.phases` says which, and `weights` copies theirs into the order that convolutions take.
"""

from functools import partial

import numpy as np

from gpuconv.algorithm import Algorithm, Algorithms, plan_by
from gpuconv.cpu.conv.taken import TAKEN
from gpuconv.cpu.conv_grad.weights import plan_weights
from gpuconv.cpu.engine.launch import Run
from gpuconv.cpu.engine.processor import Processor
from gpuconv.spec import INPUT_GRADIENT, ConvLayouts, ConvSpec, Phase, phases_of
from gpuconv.spec.layouts import packed
from gpuconv.spec.phases import remark_of_phases


def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
    return None


def worth(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> bool:
    return True


def plan(convolutions: Algorithms, spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> Run:
    phases = [*phases_of(spec)]
    parts = [(phase, _plan_phase(convolutions, phase, layouts, device)) for phase in phases]
    weights = plan_weights(spec, phases)

    def run(x: np.ndarray, w: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
        for (phase, convolve), arranged in zip(parts, weights(w), strict=True):
            seen = x[:, :, *phase.inputs] if phase.spec.C else np.empty(phase.spec.in_shape, x.dtype)
            convolve(seen, arranged, bias, y[:, :, *phase.outputs])

    return run


def _plan_phase(convolutions: Algorithms, phase: Phase, layouts: ConvLayouts, device: Processor) -> Run:
    """How a phase is computed: by the first of `convolutions` that is fast for it."""
    return plan_by(convolutions, phase.spec, _layouts_of(phase, layouts), device)


def _layouts_of(phase: Phase, layouts: ConvLayouts) -> ConvLayouts:
    spec = phase.spec
    x = layouts.x._replace(shape=spec.in_shape)
    w = packed(spec.weight_shape, layouts.w.dtype)
    n, k, p, q = layouts.y.strides
    strides = n, k, p * phase.outputs[0].step, q * phase.outputs[1].step
    y = layouts.y._replace(shape=spec.out_shape, strides=strides)
    return ConvLayouts(x, w, layouts.bias, y)


def over(convolutions: Algorithms) -> Algorithm:
    """The algorithm that computes each phase by one of `convolutions`."""
    return Algorithm(
        "conv_by_phases", {**TAKEN, "direction": (INPUT_GRADIENT,)}, unsupported, worth,
        partial(plan, convolutions), fast_for="what convolutions at stride 1 are fast for",
        remark=remark_of_phases,
    )  # fmt: skip


def over_bytes(quads: Algorithm, others: Algorithm) -> Algorithm:
    """The algorithm that leaves phases of bytes to `quads`, and what `quads` cannot compute to `others`."""

    def largest(spec: ConvSpec, layouts: ConvLayouts) -> tuple[ConvSpec, ConvLayouts] | None:
        phase = max(phases_of(spec), key=lambda phase: phase.spec.flops, default=None)
        return phase and (phase.spec, _layouts_of(phase, layouts))

    def unsupported(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> str | None:
        problem = largest(spec, layouts)
        return quads.unsupported(*problem, device) if problem else "there are no outputs"

    def worth(spec: ConvSpec, layouts: ConvLayouts, device: Processor) -> bool:
        problem = largest(spec, layouts)
        return problem is not None and quads.worth(*problem, device)

    return Algorithm(
        "conv_quads_by_phases", {**quads.takes, "direction": (INPUT_GRADIENT,)}, unsupported, worth,
        partial(plan, (quads, others)), fast_for=quads.fast_for,
        remark=lambda spec: f"{quads.remark(spec)}; {remark_of_phases(spec)}",
    )  # fmt: skip
