"""Pools by other pools, of blocks of planes and of rows: what rounds, what overflows, the room it takes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import gpuconv
from gpuconv.cpu import pool
from gpuconv.cpu.pool import blocks as pool_blocks
from gpuconv.spec.dtypes import FLOAT32
from tests import reference
from tests.cases import PoolCase, integers
from tests.cpu import problems


@pytest.fixture
def block(monkeypatch):
    """Sets the elements of a block."""

    def set_block(elements):
        monkeypatch.setattr(pool_blocks, "BLOCK", elements)

    return set_block


@st.composite
def geometries(draw):
    op, extent, tap, step = (
        draw(st.sampled_from(("max", "avg"))),
        st.integers(1, 12),
        *[st.integers(1, 4)] * 2,
    )
    size, kernel, stride = ((draw(each), draw(each)) for each in (extent, tap, step))
    dilation = draw(st.tuples(*[st.integers(1, 3)] * 2)) if op == "max" else 1
    padding = tuple(tuple(draw(st.integers(0, taps // 2)) for _ in range(2)) for taps in kernel)
    case = PoolCase(
        "drawn", op, (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *size),
        kernel, stride, padding, dilation, draw(st.booleans()), draw(st.booleans()),
        draw(st.sampled_from((None, 7, -2))),
    )  # fmt: skip
    assume(min(reference.output_shape(size, kernel, stride, padding, dilation)) > 0)
    return case


@pytest.mark.wide  # seconds
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(geometries(), st.integers(1, 200))
def test_blocks_of_any_size(block, case, elements):
    block(elements)
    x = integers(case.x, "float16")
    spec = case.spec("float16", return_indices=case.op == "max")
    y, indices = np.full(spec.out_shape, np.nan, "float16"), np.full(spec.out_shape, -77)
    problems.run(pool.ALGORITHMS[0], spec, x, y, indices if case.op == "max" else None)
    np.testing.assert_array_equal(y, case.expected(x).astype("float16"))
    if case.op == "max":
        np.testing.assert_array_equal(indices, reference.max_pool2d(x, **case.parameters)[1])


def test_a_plane_beyond_a_block_is_cut_into_rows(block):
    spec = PoolCase("tall", "max", (2, 3, 90, 10), 3, 2, 1).spec("float16")
    assert [(rows.begin, rows.end) for rows in pool_blocks.blocks_of_rows(spec, FLOAT32)] == [(0, 90)]
    block(300)
    blocks = pool_blocks.blocks_of_rows(spec, FLOAT32)
    assert [(rows.begin, rows.end) for rows in blocks] == [(0, 28), (27, 56), (55, 84), (83, 90)]
    assert [rows.first for rows in blocks] == [0, 14, 28, 42]
    assert all((rows.end - rows.begin) * 10 <= 300 for rows in blocks)
    assert [rows.spec.pads[0] for rows in blocks] == [(1, 0), (0, 0), (0, 0), (0, 0)]


@pytest.mark.parametrize("dtype", ["float16", "int32"])
def test_the_limit_of_the_workspace_is_kept(dtype, monkeypatch, limit_workspace):
    taken = []
    reserve = pool_blocks.reserve
    monkeypatch.setattr(
        pool_blocks,
        "reserve",
        lambda slot, dtype, *sizes: taken.append(dtype.itemsize * sum(sizes)) or reserve(slot, dtype, *sizes),
    )
    x = integers((1, 1, 512, 64), dtype)
    expected = gpuconv.max_pool2d(x, 3, 1, 1)
    taken.clear()
    limit_workspace(16384)
    y = gpuconv.max_pool2d(x, 3, 1, 1)
    assert len(taken) > 4 and max(taken) <= 16384
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_means_are_float32_sums_rounded_to_nearest_even(dtype):
    one, eps = np.float32(1), np.float32(2.0**-10 if dtype == "float16" else 2.0**-7)
    pairs = [(one, one + eps), (one + eps, one + 2 * eps), (one, one), (-one, -one - eps)]
    x = np.array(pairs).astype(dtype).reshape(1, 4, 1, 2)
    means = gpuconv.avg_pool2d(x, (1, 2)).astype("float32").ravel()
    assert means.tolist() == [1, 1 + 2 * eps, 1, -1]


def test_a_sum_beyond_float16_is_no_overflow_and_a_mean_beyond_it_is_infinite():
    x = np.full((1, 1, 4, 4), 60000, "float16")
    assert gpuconv.avg_pool2d(x, 4).item() == 60000
    assert gpuconv.avg_pool2d(-x, 4, divisor_override=2).item() == -np.inf


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_maxima_of_every_number(dtype):
    x = np.arange(2**16, dtype=np.uint16).view(dtype).reshape(1, 1, 256, 256)
    values, indices = gpuconv.max_pool2d(x, 2, return_indices=True)
    with np.errstate(invalid="ignore"):  # of NaN that signal
        expected, places = reference.max_pool2d(x, 2)
    np.testing.assert_array_equal(values.astype("float64"), expected)
    np.testing.assert_array_equal(indices, places)


@pytest.mark.parametrize("function", [gpuconv.max_pool2d, gpuconv.avg_pool2d])
def test_nothing_is_cast(function):
    x = np.ones((1, 1, 4, 4), "float16")
    for other in ("float32", "bfloat16"):
        with pytest.raises(TypeError, match=f"out must have the input's dtype float16, got {other}"):
            function(x, 2, out=np.ones((1, 1, 2, 2), other))
    out = np.ones((1, 1, 2, 2), "float16")
    assert function(x, 2, out=out) is out


@pytest.mark.wide  # seconds of the compiler
def test_nothing_of_it_imports_ml_dtypes(fresh_python):
    code = """
import sys, numpy as np, gpuconv
print(gpuconv.max_pool2d(np.ones((1, 1, 2, 2), "float16"), 2).dtype, "ml_dtypes" in sys.modules)
"""
    assert fresh_python(code) == "float16 False"


def test_other_dtypes_are_refused():
    spec = PoolCase("any", "max", (1, 1, 4, 4), 2).spec("float64")
    reason = (
        "of dtype it takes 'float16' or 'bfloat16' or 'int8' or 'uint8' or 'int16' or 'uint16' or 'int32' or "
        "'uint32', not "
    )
    assert problems.refused(pool.ALGORITHMS[0], spec) == f"{reason}'float64'"
    with pytest.raises(ValueError, match=f"cannot run this problem: {reason}'float32'"):
        gpuconv.max_pool2d(np.ones((1, 1, 4, 4), "float32"), 2, algorithm="pool_widened")
