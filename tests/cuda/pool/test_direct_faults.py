"""Faults planted in `pool_direct` are caught."""

import numpy as np
import pytest

from gpuconv.cuda.pool import direct
from tests import reference
from tests.cases import PoolCase, integers
from tests.cuda.execution import compute, poisoned
from tests.cuda.mutation import BEYOND, HARMLESS, RACE, WRONG, changed_room, verdict

CASES = (
    PoolCase("ragged, of several blocks", "max", (2, 3, 29, 20), 3, 2, 1, ceil_mode=True),
    PoolCase("dilated", "max", (1, 2, 11, 12), (2, 3), (1, 2), 1, (3, 2)),
    PoolCase("padded", "avg", (2, 3, 9, 10), 3, 2, 1),
    PoolCase("padded, of the image alone", "avg", (2, 3, 9, 10), 2, 2, 1, count_include_pad=False),
    PoolCase(
        "ragged, hanging over the end", "avg", (1, 2, 7, 8), (3, 2), 3, ((1, 0), (0, 1)), ceil_mode=True
    ),
    PoolCase("divided by 5", "avg", (1, 2, 7, 8), 2, divisor_override=5),
)

# (what, old source, new source, the verdicts that may come first)
FAULTS = [
    (
        "the border below",
        "                if h < H:\n                    for s in range(S):\n"
        "                        v = uint32(w_origin + q * stride_w + uint32(s) * dilation_w)",
        "                if h <= H:\n                    for s in range(S):\n"
        "                        v = uint32(w_origin + q * stride_w + uint32(s) * dilation_w)",
        f"{BEYOND} {WRONG}",
    ),
    ("a window of -inf alone", "if greater or index < int64(0):", "if greater:", WRONG),
    ("a single tap inside", "if inside > uint32(0):", "if inside > uint32(1):", WRONG),
    ("the first of equals", "greater = value > best or", "greater = value >= best or", WRONG),
    ("a NaN", "or (value != value and best == best)", "", WRONG),
    ("the first of several NaN", "(value != value and best == best)", "value != value", WRONG),
    (
        "the index of no tap yet",
        "best, index = scalar(lowest), int64(-1)",
        "best, index = scalar(lowest), int64(0)",
        WRONG,
    ),
    ("the plane of the index", "int64(h) * int64(W) + int64(v)", "int64(h) * int64(H) + int64(v)", WRONG),
    (
        "the last thread",
        "        if n < int64(N):\n            best",
        "        if n <= int64(N):\n            best",
        BEYOND,
    ),
    ("dilation", "uint32(r) * dilation_h", "uint32(r)", WRONG),
    (
        "a block's first output",
        "place = uint32(first - plane * outputs) +",
        "place =",
        f"{WRONG} {RACE} {BEYOND}",
    ),
    ("the divisor at the border", "rows = min(R, uint32(H_padded - p * stride_h))", "rows = R", WRONG),
    (
        "taps inside",
        "                            inside += uint32(1)\n",
        "                            inside = uint32(1)\n",
        WRONG,
    ),
    ("the divisor of the user", "divisor = scalar(divisor_override)", "divisor = scalar(1)", WRONG),
]


def verdict_on(algorithm, case):
    """What is wrong with a result, or with its indices; some inputs are NaN, and some -inf."""

    def compute_case():
        x = integers(case.x, "float32")
        x[..., 3:5, 2:6] = np.nan
        x[..., 5:8, 7:10] = -np.inf
        spec = case.spec(return_indices=case.op == "max")
        y = poisoned(spec.out_shape, "float32")
        if case.op == "avg":
            compute(algorithm, spec, (x,), (y, None))
            return y, case.expected(x)
        indices = poisoned(spec.out_shape, "int64")
        compute(algorithm, spec, (x,), (y, indices))
        values, places = reference.max_pool2d(x, **case.parameters)
        return np.stack([y, indices]), np.stack([values, places])

    return verdict(compute_case)


def verdict_on_all(algorithm):
    found = (verdict_on(algorithm, case) for case in CASES)
    return next((each for each in found if each != HARMLESS), HARMLESS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_planted_faults_are_caught(fault):
    _, old, new, expected = fault
    assert verdict_on_all(changed_room("pool.direct", "pool.direct", old, new).ALGORITHM) in expected


def test_the_unharmed_kernels_raise_nothing():
    assert verdict_on_all(direct.ALGORITHM) == HARMLESS
