"""Indices looked at before anything is written: each is a place of its plane, or -1."""

from collections.abc import Callable

import numba
import numpy as np

from gpuconv.cpu.engine.compiled import TASKS, kernel, workspace
from gpuconv.cpu.engine.launch import bind
from gpuconv.cpu.simd import claim
from gpuconv.spec import ScatterSpec
from gpuconv.spec.dtypes import FLOAT32

BLOCK = 1 << 16


def _signature(scalar):
    indices = numba.types.Array(numba.int64, 1, "C", readonly=True, aligned=False)
    return indices, workspace(numba.int64), numba.int64, *TASKS


@kernel(_signature, (FLOAT32,))
def find_wrong(indices, wrong, size, counter, tasks):
    """wrong[0] = 1 if there is one that is no place among `size`. A task is a BLOCK of them."""
    while True:
        task = claim(counter)
        if task >= tasks:
            break
        least, most = 0, -1
        for i in range(task * BLOCK, min((task + 1) * BLOCK, indices.size)):
            least, most = min(least, indices[i]), max(most, indices[i])
        if least < -1 or most >= size:
            wrong[0] = 1


def checking(spec: ScatterSpec) -> Callable[[np.ndarray], None]:
    """check(indices): raises ValueError that names the first wrong one."""
    size, count = spec.H * spec.W, spec.N * spec.C * spec.P * spec.Q
    look = bind(find_wrong, FLOAT32, -(-count // BLOCK), count // 4, {"size": size})

    def is_wrong(indices: np.ndarray) -> bool:
        if not indices.flags.c_contiguous:
            return indices.size > 0 and bool(indices.min() < -1 or indices.max() >= size)
        wrong = np.zeros(1, np.int64)
        look(indices.reshape(-1), wrong)
        return bool(wrong[0])

    def check(indices: np.ndarray) -> None:
        if is_wrong(indices):
            first = indices[(indices < -1) | (indices >= size)][0]
            raise ValueError(
                f"indices must be of places of a plane of {spec.H}x{spec.W}, from 0 to {size - 1}, or -1 for "
                f"none; got {first}"
            )

    return check
