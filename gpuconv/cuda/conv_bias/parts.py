"""The gradient by the bias of complex numbers: that of their real parts, and then that of the imaginary ones.

Nothing is copied: each is seen as an array of real numbers, every second one of those that lie there.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from gpuconv.algorithm import Algorithm, Algorithms, plan_by, refused_by_all
from gpuconv.cuda.conv_bias.sums import DB, DY
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.passes import Parts, Step
from gpuconv.spec import BIAS_GRADIENT, ConvSpec, PlainLayouts
from gpuconv.spec.dtypes import COMPLEX, PARTS
from gpuconv.spec.layouts import ALIGNED, Layout


def parts_of(spec: ConvSpec, layouts: PlainLayouts) -> Iterator[tuple[ConvSpec, PlainLayouts, int]]:
    """The problem of each part, how its arrays lie, and how many bytes from the start of those of both."""
    part = PARTS[spec.dtype]

    def seen(layout: Layout, moved: int) -> Layout:
        return layout._replace(dtype=part.numpy, offset=(layout.offset + moved) % ALIGNED)

    for moved in (0, part.itemsize):
        arrays = PlainLayouts(*(seen(layout, moved) for layout in layouts))
        yield replace(spec, dtype=part), arrays, moved


def unsupported(sums: Algorithms, spec: ConvSpec, layouts: PlainLayouts, gpu: Gpu) -> str | None:
    for part, arrays, _ in parts_of(spec, layouts):
        if reason := refused_by_all(sums, part, arrays, gpu):
            return f"no algorithm can add up a part: {reason}"
    return None


def worth(spec: ConvSpec, layouts: PlainLayouts, gpu: Gpu) -> bool:
    return True


def plan(sums: Algorithms, spec: ConvSpec, layouts: PlainLayouts, gpu: Gpu) -> Parts:
    steps = []
    for part, arrays, moved in parts_of(spec, layouts):
        steps.append(Step(plan_by(sums, part, arrays, gpu), ((DY, moved), (DB, moved))))
    return Parts(tuple(steps), len(layouts))


def over(sums: Algorithms) -> Algorithm:
    """The algorithm that adds up each part by one of `sums`."""
    return Algorithm(
        "bias_of_parts", {"dtype": COMPLEX, "direction": (BIAS_GRADIENT,)}, partial(unsupported, sums), worth,
        partial(plan, sums), fast_for="complex numbers",
    )  # fmt: skip
