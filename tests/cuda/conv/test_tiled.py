"""Stages of the tiled convolution: they fit shared memory, and every tap finds its element in the tile."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuconv.cuda.conv import tiled
from gpuconv.cuda.conv.tiled.tiles import BLOCKS, TILE_Q, conflict_degree, grid_of, largest_stage
from gpuconv.cuda.device.limits import SHARED_BYTES
from gpuconv.spec import ConvSpec
from tests.cuda.execution import refusal

geometry = st.tuples(
    st.sampled_from(["float32", "float64"]),
    st.integers(1, 70),  # channels of a group
    st.tuples(st.integers(1, 40), st.integers(1, 40)),  # kernel
    st.tuples(st.integers(1, 6), st.integers(1, 6)),  # stride
    st.tuples(st.integers(1, 70), st.integers(1, 70)),  # dilation
)


def spec_of(dtype, C, kernel, stride, dilation, K=5):
    H, W = (3 * s + d * (k - 1) + 1 for s, d, k in zip(stride, dilation, kernel, strict=True))
    return ConvSpec(1, C, H, W, K, *kernel, ((0, 0), (0, 0)), stride, dilation, 1, dtype)


@settings(deadline=None)
@given(geometry, st.sampled_from(TILE_Q))
def test_a_stage_fits_and_its_parts_do_not_overlap(problem, tile_q):
    spec = spec_of(*problem)
    tile = BLOCKS[spec.dtype][-1]
    stage = largest_stage(spec, tile.pixels // tile_q, tile_q, tile.pitch_k)
    taps = stage.c * stage.r * stage.s
    assert stage.shared_bytes <= SHARED_BYTES
    assert spec.R % stage.r == 0 and spec.S % stage.s == 0
    assert stage.x_table * 4 >= taps * 8
    assert stage.places >= stage.x_table + taps
    assert stage.x_tile * stage.itemsize >= 4 * (stage.places + stage.columns.lines)
    assert stage.pitch >= stage.columns.lines
    assert stage.w_tile >= stage.x_tile + stage.c * stage.rows.lines * stage.pitch
    assert stage.shared_bytes >= (stage.w_tile + taps * tile.pitch_k) * stage.itemsize
    assert stage.x_tile * stage.itemsize % 16 == stage.w_tile * stage.itemsize % 16 == 0


def test_common_kernels_stage_all_their_taps():
    for kernel, stride in itertools.product([(1, 1), (3, 3), (5, 5), (7, 7)], [(1, 1), (2, 2)]):
        spec = spec_of("float32", 64, kernel, stride, (1, 1), K=64)
        stage = largest_stage(spec, 8, 32, BLOCKS["float32"][-1].pitch_k)
        assert (stage.r, stage.s) == kernel


@pytest.mark.parametrize("tile_q", TILE_Q)
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2), (2, 1), (3, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_warp_reads_the_input_tile_without_bank_conflicts(dtype, stride, tile_q):
    spec = spec_of(dtype, 16, (3, 3), stride, (1, 1))
    stage = largest_stage(spec, 256 // tile_q, tile_q, 36)
    assert conflict_degree(stage.rows.pixel * stage.pitch, tile_q, stage.itemsize) == 1


def test_conflict_degree_counts():
    assert conflict_degree(row_step=32, tile_q=32, itemsize=4) == 1
    assert conflict_degree(row_step=32, tile_q=16, itemsize=4) == 2
    assert conflict_degree(row_step=32, tile_q=8, itemsize=4) == 4
    assert conflict_degree(row_step=16, tile_q=16, itemsize=8) == 1


@settings(deadline=None)
@given(geometry, st.integers(1, 3), st.integers(1, 70))
def test_the_grid_covers_the_output(problem, N, K):
    spec = spec_of(*problem, K=K)
    spec = ConvSpec(N, spec.C, spec.H, spec.W, K, spec.R, spec.S, spec.pads, spec.stride, spec.dilation)
    grid = grid_of(spec)
    assert grid.p * grid.tile_p >= spec.P > (grid.p - 1) * grid.tile_p
    assert grid.q * grid.tile_q >= spec.Q > (grid.q - 1) * grid.tile_q
    assert grid.k * grid.tile.k >= K
    assert grid.tile_p * grid.tile_q == grid.tile.pixels
    assert grid.blocks == N * grid.p * grid.q * grid.k


def test_what_it_cannot_count_it_says():
    for spec in (ConvSpec(1, 1, 2**31, 1, 1, 1, 1), ConvSpec(1, 2**31, 4, 4, 1, 1, 1)):
        assert "2^31" in refusal(tiled.ALGORITHM, spec)
    assert "blocks" in refusal(tiled.ALGORITHM, ConvSpec(2**20, 1, 64, 64, 2**20, 1, 1))
    assert refusal(tiled.ALGORITHM, ConvSpec(1, 1, 4, 4, 1, 1, 1)) is None
