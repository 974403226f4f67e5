"""Bytes that pools request from memory on the planes of networks, counted on a sample of blocks."""

from dataclasses import replace

import pytest

from gpuconv.algorithm import select
from gpuconv.cuda.pool import ALGORITHMS
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.spec import PoolSpec
from tests.cuda.execution import contiguous
from tests.cuda.pool import sampling

BLOCKS = 24
LIMIT = 1.25  # times the input and the output once

# Reduction, planes (192 at most, of the full height and width), extent, window, stride, padding.
LAYERS = (
    ("max", 192, 28, 3, 1, 1),
    ("max", 192, 112, 3, 2, 1),
    ("max", 1, 2048, 3, 1, 1),
    ("mean", 1, 2048, 3, 1, 1),
    ("mean", 192, 35, 3, 1, 1),
    ("max", 8, 8, 2, 2, 0),
    ("max", 192, 14, 2, 2, 0),
    ("max", 192, 28, 2, 2, 0),
    ("max", 192, 56, 2, 2, 0),
    ("max", 192, 64, 2, 2, 0),
    ("max", 128, 112, 2, 2, 0),
    ("max", 192, 128, 2, 2, 0),
    ("max", 64, 224, 2, 2, 0),
    ("max", 128, 256, 2, 2, 0),
    ("max", 64, 512, 2, 2, 0),
    ("mean", 192, 10, 2, 2, 0),
    ("mean", 192, 28, 2, 2, 0),
    ("mean", 192, 56, 2, 2, 0),
    ("mean", 192, 7, 7, 7, 0),
)


def samples():
    for reduction, C, extent, window, stride, pad in LAYERS:
        pads = ((pad, pad), (pad, pad))
        spec = PoolSpec(reduction, 1, C, extent, extent, window, window, pads, (stride, stride))
        for dtype in ("float32", "float16"):
            for return_indices in (False, True) if reduction == "max" else (False,):
                name = f"{reduction} {window}x{window} {C} @{extent} /{stride} {dtype}"
                yield pytest.param(
                    replace(spec, dtype=dtype, return_indices=return_indices),
                    id=name + " indices" * return_indices,
                )


@pytest.mark.parametrize("spec", samples())
def test_each_element_is_requested_about_once(spec):
    algorithm = select(ALGORITHMS, spec, contiguous(spec), H200)
    _, report, share = sampling.sampled(algorithm, spec, BLOCKS)
    assert algorithm.name in ("pool_global", "pool_rows")
    assert share / LIMIT < report.traffic("global").bytes / spec.min_bytes < share * LIMIT
