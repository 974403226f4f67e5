"""A kernel made ready for all calls of one kind: bound by name to everything but the arrays.

What is left of a call is to hand out workspaces and to enter the compiled code, in each thread that shares in
it. It is entered past the dispatcher of Numba, which finds out the types of all arguments, and takes longer
than to pool a small image: those of a plan never change, since it is for arrays that lie as its layouts say.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

import numpy as np

from gpuconv import threads
from gpuconv.cpu.engine.compiled import Kernel
from gpuconv.cpu.engine.workspace import reserve_each
from gpuconv.spec.dtypes import INT64, Dtype
from gpuconv.threads import MIN_WORK, share

Run = Callable[..., None]
NONE: Mapping[str, Any] = {}
ARRAYS = "x", "offset", "w", "bias", "mask", "dy", "residual", "y", "indices", "spoilt", "sampled", "wrong"
LAST = "counter", "tasks"
_launches: WeakSet[Run] = WeakSet()
_zeros, _INT64 = np.zeros, np.dtype(np.int64)


def bind(
    kernel: Kernel,
    dtype: Dtype,
    tasks: int,
    work: int,
    constants: Mapping[str, Any],
    workspaces: Mapping[str, int] = NONE,
    tables: Mapping[str, int] = NONE,
    twice: bool = False,
) -> Run:
    """The function of the arrays that runs the kernel, in as many threads as `work` is worth.

    Parameters
    ----------
    kernel : Kernel
        Its parameters are, in this order: some of ARRAYS, constants, workspaces, tables, `counter` and
        `tasks`.
    dtype : Dtype
        Of the arrays and the workspaces.
    tasks, work : int
        As for `gpuconv.threads.share`.
    constants : mapping
        The values of the parameters that are the same in each call.
    workspaces, tables : mapping
        Elements of each array that a thread works in: of `dtype`, and of int64.
    twice : bool
        Whether the last array stands in for the one before it, too, which is left out: y for a residual.

    Raises
    ------
    TypeError
        If the names are not those of the kernel's parameters.
    """
    compiled, values = kernel.entry(dtype), _ordered(kernel, constants, workspaces, tables)
    slot = kernel.name
    wanted = (*[(dtype, size) for size in workspaces.values()], *[(INT64, size) for size in tables.values()])

    is_small = tasks <= 1 or work < MIN_WORK

    def run(*arrays: np.ndarray) -> None:
        arrays = (*arrays, arrays[-1]) if twice else arrays
        if is_small or threads.count == 1:
            spaces = reserve_each(slot, wanted)
            compiled(*(arrays + values + spaces + (_zeros(1, _INT64), tasks)))  # half the time of stars
            return

        def compute(counter: np.ndarray) -> None:
            compiled(*arrays, *values, *reserve_each(slot, wanted), counter, tasks)

        share(compute, tasks, work)

    _launches.add(run)
    return run


def is_one_launch(run: Run) -> bool:
    """Whether a plan is one launch, so that nothing has to stay in workspaces from one launch to another."""
    return run in _launches


def _ordered(
    kernel: Kernel,
    constants: Mapping[str, Any],
    workspaces: Mapping[str, int],
    tables: Mapping[str, int],
) -> tuple[Any, ...]:
    """The constants in the order of the kernel's parameters."""
    parameters = tuple(inspect.signature(kernel.function).parameters)
    bound = tuple(name for name in parameters if name not in ARRAYS)
    ordered = tuple(name for name in bound if name in constants)
    if len(ordered) < len(constants) or bound != (*ordered, *workspaces, *tables, *LAST):
        given = ", ".join((*constants, *workspaces, *tables, *LAST))
        raise TypeError(f"{kernel.name} takes {', '.join(parameters)}; bound are {given}")
    return tuple(constants[name] for name in ordered)
