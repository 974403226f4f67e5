"""The sums of means are no longer, one addition behind the other, than the promised error allows.

A sum that goes through L roundings is off by at most L eps / 2 of the sum of the magnitudes. So that a mean
of n numbers is within 4 eps log2(n), L is at most 8 log2(n), its division included.
"""

import itertools
import math

import numpy as np
import pytest

from gpuconv.cuda.device import reduction as reducing
from gpuconv.cuda.device.elements import inlined
from gpuconv.cuda.language import float32
from gpuconv.cuda.pool import direct, global_, rows, separable
from gpuconv.cuda.pool.separable.chains import LONGEST, longest_chain
from tests.cases import PoolCase, zeros
from tests.cuda.execution import refusal
from tests.cuda.pool.pooling import pool

NOTHING = -60000.0  # the depth of no number, which float16 has too
COMPENSATED = 3  # roundings of Kahan's sum, however many numbers it has: 2 eps / 2, and terms in eps^2


@inlined
def one_deeper(a, b):
    """The additions behind a sum, each of whose parts is given as the additions behind it."""
    deepest = max(a, b)
    return deepest + float32(1) if min(a, b) > NOTHING / 2 else deepest


@inlined
def gathered(total, lost, value):
    return max(total, value + float32(COMPENSATED) if value > NOTHING / 2 else value), lost


def in_place_of_sums(name, dtype):
    assert name == "mean"
    return reducing.Reduction(one_deeper, one_deeper, gathered, NOTHING, True)


@pytest.fixture
def depths(monkeypatch):
    """make(module): a room's kernels give the depth of their sums, of the zeros that they are given."""

    def make(module):
        monkeypatch.setattr(module, "reduction_of", in_place_of_sums)
        for key in [key for key, kernel in module.KERNEL_OF.items() if " mean" in kernel.name]:
            monkeypatch.setitem(module.KERNEL_OF, key, module.make_kernel(*key))

    return make


def depth(algorithm, x, dtype="float32", **parameters):
    """Of every output: how many roundings the number that meets most of them goes through."""
    case = PoolCase("depth", "avg", x, divisor_override=1, **parameters)
    y, _ = pool(algorithm, case.spec(dtype), zeros(x, dtype))
    return int(y.astype(np.float64).max()) + 1  # the division


def allowed(taps):
    return 8 * math.log2(taps)


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("extent", [(1, 6000), (60, 100), (6000, 1), (3, 3), (1, 33)], ids=str)
def test_direct_sums_are_short(depths, extent):
    depths(direct)
    found = depth(direct.ALGORITHM, (1, 1, *extent), kernel_size=extent)
    assert 1 < found <= allowed(math.prod(extent))


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("window", [(3, 1), (3, 2), (2, 2)])
def test_sums_by_rows_are_short(depths, window):
    size, stride = window
    depths(rows.kernel)
    padding = int(size == 3)
    found = depth(rows.ALGORITHM, (1, 1, 9, 16), kernel_size=size, stride=stride, padding=padding)
    assert found == 2 * (size - 1) + 1 <= allowed(size * size)


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("team", global_.kernel.TEAMS, ids=lambda team: team.name)
@pytest.mark.parametrize("wide", [True, False])
def test_global_sums_are_short(depths, team, wide, dtype):
    depths(global_.kernel)
    for extent in [(8, 8), (8, 96)] if team.name == "warp" else [(32, 32), (96, 512), (1024, 1024)]:
        if wide or extent[0] < 1000:
            shape = extent if wide else (extent[0] + 1, extent[1] + 1)
            found = depth(global_.ALGORITHM, (1, 1, *shape), dtype, kernel_size=shape)
            assert 1 < found <= allowed(math.prod(shape))


LONG = {
    "rows in runs": ((1, 1, 5, 140), (1, 129), 1, True),
    "columns in runs": ((1, 1, 140, 8), (129, 1), 1, True),
    "both, and as a chain": ((1, 1, 75, 76), (70, 71), 1, True),
    "tap by tap": ((1, 1, 80, 80), (66, 67), 2, False),
    "few taps": ((1, 1, 9, 9), (5, 5), 1, True),
}


@pytest.mark.wide  # each compiles a kernel of its own, for ten seconds
@pytest.mark.parametrize(("x", "kernel_size", "stride", "chained"), LONG.values(), ids=LONG)
def test_separable_sums_are_short(depths, x, kernel_size, stride, chained):
    depths(separable.kernel)
    found = depth(separable.ALGORITHM, x, kernel_size=kernel_size, stride=stride)
    assert found <= allowed(math.prod(kernel_size))
    by_axis = [longest_chain(taps, chained and taps >= 4) for taps in kernel_size]
    assert found <= sum(by_axis) + 1 <= found + 2


def test_the_longest_separable_sums_are_short():
    """Whatever the window: of one beyond LONGEST the algorithm leaves the mean to another."""
    for taps in itertools.product(range(1, LONGEST + 1), (1, 2, 3, 4, 5, 8, 16, 31, 64, 300, LONGEST)):
        for chained in itertools.product((False, True), repeat=2):
            if math.prod(taps) > 1 and all(n >= 4 or not c for n, c in zip(taps, chained, strict=True)):
                roundings = 1 + sum(map(longest_chain, taps, chained))
                assert roundings <= allowed(math.prod(taps))
    spec = PoolCase("long", "avg", (1, 1, 5, LONGEST + 5), (1, LONGEST + 1), 1).spec()
    assert "rounding" in refusal(separable.ALGORITHM, spec)
    spec = PoolCase("long", "avg", (1, 1, 5, LONGEST + 5), (1, LONGEST), 1).spec()
    assert refusal(separable.ALGORITHM, spec) is None


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize(
    ("algorithm", "extent"),
    [
        (direct.ALGORITHM, (1, 9000)),
        (direct.ALGORITHM, (9000, 1)),
        (separable.ALGORITHM, (1, 1400)),
        (separable.ALGORITHM, (400, 5)),
        (global_.ALGORITHM, (600, 1000)),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
@pytest.mark.parametrize("value", [0.1, 1 / 3])
def test_means_do_not_drift(algorithm, extent, value):
    """Of equal numbers, whose roundings all go the same way until the sum has grown."""
    x = np.full((1, 1, *extent), value, "float32")
    case = PoolCase("equal numbers", "avg", x.shape, extent, 1)
    y, _ = pool(algorithm, case.spec(), x)
    bound = 4 * np.finfo("float32").eps * math.log2(x.size)
    assert np.abs(y.astype(np.float64) / np.float64(x[0, 0, 0, 0]) - 1).max() <= bound


@pytest.mark.parametrize("algorithm", [direct.ALGORITHM, global_.ALGORITHM], ids=lambda each: each.name)
@pytest.mark.parametrize("last", [np.inf, -np.inf, np.nan, 3e38])
def test_what_is_not_finite_stays_so(algorithm, last):
    """What rounding lost of an infinity would be a NaN."""
    x = np.ones((1, 1, 40, 100), "float32")
    x[0, 0, 20, 50:52] = last
    case = PoolCase("not finite", "avg", x.shape, (40, 100), 1)
    y, _ = pool(algorithm, case.spec(), x)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(y, x.sum(dtype=np.float64).astype("float32") / 4000)
