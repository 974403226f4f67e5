"""Values put where indices say, on the executor: gradients of maxima, and pools of maxima turned round."""

import numpy as np
import pytest

from gpuconv.algorithm import select
from gpuconv.cuda import scatter
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.cuda.scatter.ordered import TILE
from gpuconv.spec import ScatterSpec, of_max_gradient, of_unpool
from tests import ptx, reference
from tests.cases import POOL_CASES, POOL_DTYPES, PoolCase, equal, integers
from tests.cuda.execution import compute, layouts_of, on_device, poisoned
from tests.cuda.mutation import BEYOND, HARMLESS, RACE, UNSET, WRONG, changed_room, file_of, seldom
from tests.layouts import WRITABLE
from tests.sampling import few

(ALGORITHM,) = scatter.ALGORITHMS
CASES = sorted(
    (case for case in POOL_CASES if case.op == "max" and not case.large),
    key=lambda case: case.name not in ("3x3, stride 2, padded", "tall", "dilation (2, 3), stride 2"),
)
TILES = PoolCase("several tiles", "max", (1, 2, 70, 37), 3, 2, 1)


def arrays(case, dtype):
    """(dy, indices) of a case of maxima."""
    values, indices = reference.max_pool2d(integers(case.x, dtype), **case.parameters)
    return integers(values.shape, dtype, 1), indices


def put(spec, x, indices, algorithm=ALGORITHM):
    y = poisoned(spec.out_shape, spec.dtype)
    compute(algorithm, spec, (x, indices), (y,))
    return y


@pytest.mark.parametrize("case", [TILES, *few(CASES, 4)], ids=str)
@pytest.mark.parametrize("dtype", few(POOL_DTYPES, 1))
def test_each_gradient_goes_where_its_maximum_was(case, dtype):
    dy, indices = arrays(case, dtype)
    expected = reference.scattered(dy, indices, case.x[2:], "sum").astype(dtype)
    equal(put(of_max_gradient(dy, indices, case.x, **case.parameters), dy, indices), expected)
    equal(put(of_max_gradient(dy, indices, case.x), dy, indices), expected)


@pytest.mark.parametrize("dtype", few(POOL_DTYPES, 1))
def test_the_last_value_of_a_place_counts(dtype):
    x = np.arange(2 * 5 * 37).reshape(1, 2, 5, 37).astype(dtype)
    indices = np.random.default_rng(1).integers(-1, 30, x.shape)
    spec = of_unpool(x, indices, 1)
    equal(put(spec, x, indices), reference.scattered(x, indices, (5, 37), "last").astype(dtype))


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_indices_that_are_of_no_place_write_nothing(kind):
    dy = np.ones((1, 1, 3, 40), np.float32)
    wrong = [-1, -2, 36, 37, 2**31 - 1, -(2**31)]
    if kind is np.int64:
        wrong += [2**32 + 3, 2**63 - 1, -(2**63), -(2**32) + 3]
    indices = np.full(dy.shape, 5, kind)
    indices.flat[: len(wrong)] = wrong
    y = put(of_max_gradient(dy, indices, (1, 1, 6, 6)), dy, indices)
    assert y.flat[5] == dy.size - len(wrong) and np.count_nonzero(y) == 1


def test_rounding_is_that_of_the_order_of_the_values():
    x = np.random.default_rng(2).standard_normal((1, 1, 9, 70)).astype("f4")
    indices = np.random.default_rng(3).integers(0, 9, x.shape)
    expected = np.zeros(12, np.float32)
    for index, value in zip(indices.flat, x.flat, strict=True):
        expected[index] += value
    y = put(of_max_gradient(x, indices, (1, 1, 3, 4)), x, indices)
    assert y.tobytes() == expected.tobytes()


@pytest.mark.parametrize("layout", ["reversed", "channels last", "strided"])
def test_arrays_of_any_strides(layout):
    dy, indices = arrays(CASES[0], "float32")
    spec = of_max_gradient(dy, indices, CASES[0].x, **CASES[0].parameters)
    y = WRITABLE[layout](poisoned(spec.out_shape, "float32"))
    compute(ALGORITHM, spec, (WRITABLE[layout](dy), WRITABLE[layout](indices)), (y,))
    equal(y, reference.scattered(dy, indices, CASES[0].x[2:], "sum").astype("f4"))


def test_what_is_too_large_is_refused():
    views = [on_device(np.zeros((1, 1, 1, 1), kind)) for kind in ("f4", "i8", "f4")]
    for spec in (
        ScatterSpec("sum", 1, 1, 2**16, 2**15, 1, 1),
        ScatterSpec("sum", 1, 1, 1, 1, 2**16, 2**15),
        ScatterSpec("sum", 2**20, 2**12, 1, 1, 1, 1),
        ScatterSpec("sum", 1, 1, 1, 1, 2, 1, True, 1, 1, ((0, 0), (0, 0)), (2**30, 1)),
    ):
        layouts = layouts_of(spec, *views)
        with pytest.raises(ValueError, match="no algorithm can run this problem: scatter: "):
            select(scatter.ALGORITHMS, spec, layouts, H200)


FAULTS = [
    ("scatter.ordered", "the upper half", "(sign == uint32(0)))", "(sign == sign))", WRONG),
    ("scatter.ordered", "the end of a tile", "(place < count)", "(place <= count)",
     f"{WRONG} {BEYOND} {RACE}"),
    ("scatter.ordered", "the lane of a sum", "if uint32(to % uint32(LANES)) == lane:",
     "if uint32(to % uint32(16)) == lane:", f"{RACE} {WRONG}"),
    ("scatter.ordered", "the first windows", "divide(uint32(low), stride)[0]) + int64(1)",
     "divide(uint32(low), stride)[0]) + int64(2)", WRONG),
    ("scatter.ordered", "the last windows", "int64(divide(uint32(high), stride)[0]) + int64(1)",
     "int64(divide(uint32(high), stride)[0])", WRONG),
    ("scatter.ordered", "the rows of a window", "(at < (row + int64(reach)) * int64(W))",
     "(at <= (row + int64(reach)) * int64(W))", WRONG),
    ("scatter.ordered", "the first row of a window", "(at >= row * int64(W))", "(at > row * int64(W))",
     WRONG),
    ("scatter.ordered", "what sums begin with", "range(lane, uint32(TILE), uint32(LANES)):",
     "range(lane, uint32(TILE // 2), uint32(LANES)):", f"{UNSET} {WRONG}"),
    ("scatter.ordered", "one value of many", "waiting &= uint32(waiting - uint32(1))", "waiting = uint32(0)",
     WRONG),
    ("scatter.ordered", "a second plane", "int64(n) * i_n + int64(c) * i_c", "int64(n) * i_n", WRONG),
]  # fmt: skip


def puts_hard(algorithm):
    """Whether it puts values of windows and of none where they belong."""
    dy, indices = arrays(TILES, "float32")
    indices[0, 0, ::3] = 2**32 + 8
    indices[0, 1, 5, 3:9] = [TILE - 1, TILE, 3, TILES.x[3] * 12, TILES.x[3] * 9 - 1, TILES.x[3] * 9]
    for parameters in ({}, TILES.parameters):
        spec = of_max_gradient(dy, indices, TILES.x, **parameters)
        right = np.where(indices < 2**32, indices, -1)
        if parameters:
            rows = right // TILES.x[3] - (np.arange(spec.P) * 2 - 1)[:, None]
            right = np.where((rows >= 0) & (rows < 3), right, -1)
        expected = reference.scattered(dy, right, TILES.x[2:], "sum").astype("f4")
        if not np.array_equal(put(spec, dy, indices, algorithm), expected):
            return False
    return True


def verdict(algorithm):
    try:
        return HARMLESS if puts_hard(algorithm) else WRONG
    except ptx.PtxError as fault:
        return type(fault).__name__


def test_each_fault_has_one_place():
    for file, what, old, *_ in FAULTS:
        assert file_of(f"gpuconv.cuda.{file}").read_text().count(old) == 1, what


@seldom(FAULTS, 5)
def test_faults_are_caught(fault):
    file, _, old, new, expected = fault
    (algorithm,) = changed_room("scatter", file, old, new).ALGORITHMS
    found = verdict(algorithm)
    assert found != HARMLESS and found in expected


def test_unharmed_kernels_raise_nothing():
    assert verdict(ALGORITHM) == HARMLESS
