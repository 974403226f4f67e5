"""Which kernels of the CUDA engine a problem launches, and problems enough to launch each of them.

Nothing is launched to find out: the algorithms plan the problem for a GPU that need not be there. Choices of
tiles go by the GPU, so a problem covers a kernel on one card and not on another.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import chain
from typing import Any, NamedTuple

from gpuconv.algorithm import Algorithm, refusal
from gpuconv.call import Call, understand
from gpuconv.commands.problems import (
    BIAS_GRADIENTS,
    CONVOLUTIONS,
    COVERING,
    DEFORMED,
    GRADIENTS,
    OPTIONS,
    PATCHES,
    POOLS,
    SCATTERED,
    SHARES,
    TRANSPOSED,
    WEIGHT_GRADIENTS,
    Problem,
    arrays,
    function_of,
    laid,
    named,
    of_dtype,
)
from gpuconv.spec import Dtype
from gpuconv.spec.dtypes import BFLOAT16, COMPARED, CONVOLVED, FLOATS, POOLED, SUMMED

ROOMS: dict[str, tuple[Sequence[Dtype], Sequence[Problem]]] = {
    "conv": (CONVOLVED, (*CONVOLUTIONS, *OPTIONS)), "conv_grad": (CONVOLVED, (*TRANSPOSED, *GRADIENTS)),
    "conv_weight": (SUMMED, WEIGHT_GRADIENTS), "conv_bias": (SUMMED, BIAS_GRADIENTS),
    "deform": (FLOATS, DEFORMED), "pool": (COMPARED, POOLS),
    "scatter": (POOLED, SCATTERED), "pool_grad": (POOLED, SHARES), "unfold": (POOLED, PATCHES),
}  # fmt: skip


class Covered(NamedTuple):
    """An algorithm's run of a problem, and the kernels that no earlier run launches."""

    algorithm: str
    dtype: Dtype
    problem: Problem
    kernels: frozenset[str]


def is_known(dtype: Dtype) -> bool:
    """Whether arrays of it can be made here: NumPy knows bfloat16 from ml_dtypes alone."""
    return dtype != BFLOAT16 or find_spec("ml_dtypes") is not None


def call_of(problem: Problem, dtype: Dtype) -> Call:
    """What the call means."""
    input, rest = arrays(problem, dtype)
    return understand(function_of(problem), **named(problem, (laid(problem, input), *rest)))


def kernels(algorithm: Algorithm, call: Call, gpu: Any) -> set[str]:
    """The names of those that the algorithm would launch on such a GPU; none if it cannot run the call."""
    if refusal(algorithm, call.spec, call.layouts, gpu) is not None:
        return set()
    return set(queued(algorithm.plan(call.spec, call.layouts, gpu)))


def queued(plan: Any) -> list[str]:
    """The names of a plan's kernels, in order: one, or several passes; none for an empty result."""
    if hasattr(plan, "steps"):
        return [name for step, _ in plan.steps for name in queued(step)]
    launches = [launch for launch, _ in plan.launches] if hasattr(plan, "launches") else [plan]
    return [launch.kernel.name for launch in launches if launch.blocks]


def covering(algorithms: Mapping[str, Sequence[Algorithm]], gpu: Any) -> list[Covered]:
    """Few problems, which launch on such a GPU every kernel that any problem of ours launches.

    First come the problems that `gpuconv verify` tries in any case.
    """
    found: set[str] = set()
    chosen: list[Covered] = []
    for room, (dtypes, problems) in ROOMS.items():
        for dtype in filter(is_known, dtypes):
            for problem in of_dtype(chain(problems, COVERING[room]), dtype):
                call = call_of(problem, dtype)
                for algorithm in algorithms[room]:
                    added = kernels(algorithm, call, gpu) - found
                    if added:
                        found |= added
                        chosen.append(Covered(algorithm.name, dtype, problem, frozenset(added)))
    return chosen
