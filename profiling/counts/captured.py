"""The launches that an algorithm makes for a problem, on arrays that are not there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gpuconv import cuda
from gpuconv.algorithm import Algorithm, refusal, select
from gpuconv.cuda.runtime.gpu import H200, Gpu
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.cuda.runtime.passes import Parts, Passes
from gpuconv.cuda.runtime.scratch import ELEMENT_BYTES
from gpuconv.spec import ConvSpec, Spec
from gpuconv.spec.dtypes import FLOAT32, INT64
from gpuconv.spec.layouts import ConvLayouts, Layout, Layouts, PoolLayouts, contiguous_strides

SCRATCH = "scratch"


@dataclass(frozen=True, eq=False, slots=True)
class Operand:
    """A contiguous array that is not there: "x", "w", "y", "indices", or the scratch between two launches.

    `begin` is how many bytes from its start a pointer leads.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    begin: int = 0

    @property
    def is_input(self) -> bool:
        """Whether no kernel writes to it."""
        return self.name in ("x", "w", "bias")

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Captured:
    """A launch with the arrays that its pointers stand for, None for a null pointer."""

    launch: Launch
    operands: tuple[Operand | None, ...]


def launches(spec: Spec, algorithm: Algorithm, gpu: Gpu = H200) -> list[Captured]:
    """What a call on contiguous arrays, without a bias, would queue on such a GPU."""
    layouts = contiguous(spec)
    plan: Launch | Passes | Parts = algorithm.plan(spec, layouts, gpu)
    given: list[Operand | None] = [
        layout and Operand(name, layout.shape, layout.dtype)
        for name, layout in zip(layouts._fields, layouts, strict=True)
    ]
    given.append(Operand(SCRATCH, (plan.elements,), FLOAT32.numpy))
    return [*_captured(plan, given)]


def _captured(plan: Launch | Passes | Parts, given: Sequence[Operand | None]) -> Iterator[Captured]:
    """The launches of a plan, whose pointers are of those `given`."""
    if isinstance(plan, Parts):
        for step, begins in plan.steps:
            taken = [_moved(None if place is None else given[place], moved) for place, moved in begins]
            if step.elements:
                taken.append(_moved(given[plan.arrays], ELEMENT_BYTES * plan.between))
            yield from _captured(step, taken)
        return
    for launch, places in plan.launches if isinstance(plan, Passes) else ((plan, range(len(given))),):
        if launch.blocks:
            yield Captured(launch, tuple(given[place] for place in places)[: len(launch.kernel.pointers)])


def _moved(operand: Operand | None, by: int) -> Operand | None:
    return operand and replace(operand, begin=operand.begin + by)


def contiguous(spec: Spec) -> Layouts:
    """How the arrays of a problem lie where none has gaps, and there is no bias."""

    def layout(shape: tuple[int, ...], dtype: np.dtype) -> Layout:
        return Layout(shape, contiguous_strides(shape, dtype.itemsize), dtype)

    x = layout((spec.N, spec.C, spec.H, spec.W), spec.dtype.numpy)
    if isinstance(spec, ConvSpec):
        w = layout((spec.K, spec.C_group, spec.R, spec.S), spec.dtype_of_weights.numpy)
        return ConvLayouts(x, w, None, layout(spec.out_shape, spec.result.numpy))
    y = layout(spec.out_shape, spec.dtype.numpy)
    return PoolLayouts(x, y, layout(spec.out_shape, INT64.numpy) if spec.return_indices else None)


def algorithms(spec: Spec) -> tuple[Algorithm, ...]:
    """The engine's for an operator, in its order."""
    return cuda.ALGORITHMS["conv" if isinstance(spec, ConvSpec) else "pool"]


def supported(spec: Spec, gpu: Gpu = H200) -> list[Algorithm]:
    """Those that can run a problem on such a GPU."""
    layouts = contiguous(spec)
    return [each for each in algorithms(spec) if refusal(each, spec, layouts, gpu) is None]


def selected(spec: Spec, gpu: Gpu = H200, name: str | None = None) -> Algorithm:
    """The one that a call takes on such a GPU, or the one named; ValueError if it cannot run the problem."""
    return select(algorithms(spec), spec, contiguous(spec), gpu, name)
