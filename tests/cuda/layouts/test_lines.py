"""A gate: of the PTX of each of these kernels, 98 of 100 lines are executed, and what comes out compared.

A line that none executes is a case that is missing, or code that cannot run: then `LEFT` says why.
"""

import pytest

from gpuconv import cuda as engine
from tests.cuda import execution
from tests.cuda.layouts.lines import recorded
from tests.cuda.layouts.pools import FAMILIES

LEAST = 0.98
FOUR_AT_A_TIME = (
    "the loop over a thread's one or two columns of zeros is unrolled by four, and again for W = 0, which "
    "the plan refuses"
)
NARROW = "a wide kernel never loads pairs or single elements, which the common loader can"
DEPTH = "planes of more rows, apart, than are tried here: an iteration takes 1024 or 4096 elements"
LEFT = {
    "pool_rows float32 argmax": (0.65, FOUR_AT_A_TIME),
    "pool_separable float32 max wide": (0.87, NARROW),
    "pool_separable float32 mean wide": (0.84, NARROW),
    "pool_separable float32": (0.965, "a row of zeros that is read again by single elements"),
    "pool_global float32 max block": (0.61, DEPTH),
    "pool_global float32 mean block narrow": (0.91, DEPTH),
}


def least_of(name):
    return next((least for start, (least, _) in LEFT.items() if name.startswith(start)), LEAST)


@pytest.mark.wide
@pytest.mark.parametrize("family", FAMILIES)
def test_nearly_every_line_is_executed(family):
    with recorded() as lines:
        FAMILIES[family]("float32")
    kernels = [kernel for kernel in engine.KERNELS if kernel.name.startswith(f"{family} float32")]
    shares = {}
    for kernel in kernels:
        known = execution.executable(kernel, "sm_90a").lines
        shares[kernel.name] = len(lines[kernel.name] & set(known)) / len(known)
    assert kernels and not {name: share for name, share in shares.items() if share < least_of(name)}, shares
