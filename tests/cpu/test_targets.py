"""The kernels on other processors: compiled by naming them to LLVM, and run where this one can."""

import platform

import pytest

from gpuconv.cpu import simd
from tests.cpu.assembly import (
    AVX512,
    FUSED,
    QUADS,
    STACK,
    TARGETS,
    X86,
    assembly,
    initialize,
    loops,
    quads_module,
    tile_module,
)

HASWELL = ("haswell", "+avx,+avx2,+fma", simd.Tile(6, 2, 256, True))
BASELINE = ("x86-64", "+sse2", simd.Tile(4, 2, 128, False))

over_targets = pytest.mark.parametrize("target", TARGETS)
over_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

EVERY_CASE = """
import numpy as np
from gpuconv import cpu
from gpuconv.cpu import simd
from tests.cases import CONV_CASES, POOL_CASES, integers
from tests.cpu.problems import refused, run
for case in CONV_CASES:
    x, w, bias = case.arrays(DTYPE, integers)
    expected, spec = case.expected(x, w, bias).astype(DTYPE), case.spec(DTYPE)
    for algorithm in cpu.ALGORITHMS["conv"]:
        if refused(algorithm, spec) is None:
            y = np.full(spec.out_shape, np.nan, DTYPE)
            run(algorithm, spec, x, w, np.zeros(spec.K, DTYPE) if bias is None else bias, y)
            assert np.array_equal(y, expected), (algorithm.name, case)
for case in POOL_CASES:
    spec, x = case.spec(DTYPE), integers(case.x, DTYPE)
    expected = case.expected(x).astype(DTYPE)
    for algorithm in cpu.ALGORITHMS["pool"]:
        if refused(algorithm, spec) is None:
            y = np.full(spec.out_shape, np.nan, DTYPE)
            run(algorithm, spec, x, y, None)
            assert np.allclose(y, expected, rtol=1e-6, atol=0), (algorithm.name, case)
print(simd.TILE)
"""


@pytest.fixture(scope="module", autouse=True)
def every_target():
    initialize()


@over_targets
def test_the_tile_follows_from_the_features(target):
    triple, _, features, tile = TARGETS[target]
    assert simd.tile_of(features, triple.partition("-")[0]) == tile


@over_dtypes
@over_targets
def test_a_tile_stays_in_registers(target, dtype):
    triple, cpu, _, tile = TARGETS[target]
    found = loops(assembly(tile_module(triple, tile, dtype), triple, cpu))
    sizes = {rows * vectors for rows in {tile.rows, 4, 2, 1} for vectors in range(1, tile.vectors + 1)}
    assert len(found) >= len(sizes)
    assert not [line for block in found for line in block if STACK.search(line)]
    if tile.fused:
        assert sizes == {sum(bool(FUSED.search(line)) for line in block) for block in found}
    else:
        assert not [line for block in found for line in block if FUSED.search(line) or "call" in line]


def test_bytes_are_multiplied_four_at_a_time_where_the_features_say_so():
    assert not any(simd.has_quads(each[2], each[0].partition("-")[0]) for each in TARGETS.values())
    assert simd.has_quads(f"{AVX512},+avx512vnni", "x86_64")
    assert not simd.has_quads(f"{AVX512},-avx512vnni", "x86_64")
    assert not simd.has_quads("+avx2,+fma,+avx512f,+avx512vnni", "x86_64")  # whose vectors are of 256 bits


@pytest.mark.parametrize("cpu", QUADS.values(), ids=QUADS)
def test_a_tile_of_quads_stays_in_registers(cpu):
    tile = simd.Tile(8, 3, 512, True)
    found = loops(assembly(quads_module(X86, tile), X86, cpu))
    assert not [line for block in found for line in block if STACK.search(line)]
    counts = sorted(sum("vpdpbusd" in line for line in block) for block in found)
    assert counts == sorted([rows * vectors for rows in (8, 4, 2, 1) for vectors in (1, 2, 3)] * 2)


def test_the_search_for_spills_finds_them():
    triple, cpu, *_ = TARGETS["AVX2, Haswell"]
    found = loops(assembly(tile_module(triple, simd.Tile(8, 3, 256, True), "float32"), triple, cpu))
    assert [line for block in found for line in block if STACK.search(line)]


@pytest.mark.wide  # each compiles every kernel of the engine
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="an x86-64 processor is needed")
@pytest.mark.parametrize(
    ("cpu", "features", "tile", "dtype"),
    [(*target, dtype) for target in (HASWELL, BASELINE) for dtype in ("float32", "float64")],
)
def test_every_case_on_a_lesser_processor(cpu, features, tile, dtype, fresh_python):
    code = f"DTYPE = {dtype!r}\n{EVERY_CASE}"
    printed = fresh_python(code, timeout=300, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES=features)
    assert printed == repr(tile)
