"""What a prediction is made from: executed samples of blocks, counts that are known, units and paths."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gpuconv.cuda.conv import implicit_gemm
from gpuconv.cuda.conv.implicit_gemm.gather import SLAB
from gpuconv.cuda.conv.implicit_gemm.tiles import TILES, GemmChoice
from gpuconv.cuda.runtime.gpu import GPUS, H200
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import FLOAT32
from profiling.counts import counted, launches, selected, slots
from profiling.counts.block_sample import SampledKernel, executable, spread
from profiling.counts.captured import Operand, contiguous
from profiling.counts.counted import imbalance, traffic
from profiling.counts.critical_path import BARRIER, SHARED, critical_path
from profiling.counts.watching import FIRST, Tally, paired
from profiling.workloads import convolution
from tests import ptx
from tests.ptx.lanes import Active

COPY = """
.version 8.0 .target sm_90 .address_size 64
.visible .entry copy(.param .u64 x, .param .u64 y, .param .u32 turns) {
  .reg .b32 %r<4>; .reg .b64 %d<6>; .reg .f32 %f<4>; .reg .pred %p; .shared .align 16 .b8 tile[512];
  ld.param.u64 %d0, [x]; ld.param.u64 %d1, [y]; ld.param.u32 %r0, [turns];
  mov.u32 %r1, %tid.x; mul.wide.u32 %d2, %r1, 4; add.u64 %d3, %d0, %d2; add.u64 %d4, %d1, %d2;
  shl.b32 %r2, %r1, 2; mov.u32 %r3, tile; add.u32 %r2, %r2, %r3;
  mov.f32 %f1, 0f00000000;
again:
  ld.global.f32 %f0, [%d3]; st.shared.f32 [%r2], %f0; bar.sync 0; ld.shared.f32 %f2, [%r2];
  fma.rn.f32 %f1, %f2, %f2, %f1; sub.u32 %r0, %r0, 1; setp.ne.u32 %p, %r0, 0; @%p bra again;
  st.global.f32 [%d4], %f1;
  ret; }"""
TURNS = 50
LAUNCH = SimpleNamespace(kernel=SimpleNamespace(threads=64), blocks=10, shared_bytes=0, values=(TURNS,))


@pytest.fixture(scope="module")
def sample():
    """10 blocks of 64 threads, 4 of them executed: each thread reads its own number TURNS times."""
    arrays = Operand("x", (64,), FLOAT32.numpy), Operand("y", (64,), FLOAT32.numpy)
    return SampledKernel(COPY).sample(LAUNCH, arrays, 4)


def executed(sample, opcode):
    executions = sample.executions.items()
    return {count for instruction, count in executions if ".".join(instruction.parts) == opcode}


def test_executions_are_counted_though_they_are_not_all_carried_out(sample):
    assert (sample.blocks, sample.warps) == (4, 2)
    assert executed(sample, "fma.rn.f32") == executed(sample, "ld.global.f32") == {4 * 2 * TURNS}
    assert executed(sample, "st.global.f32") == {4 * 2}


def test_traffic_stands_for_all_executions(sample):
    found = {
        (instruction.parts[0], space): (traffic.requests, traffic.bytes, traffic.sectors, traffic.wavefronts)
        for (instruction, space), traffic in sample.traffic.items()
    }
    times = 4 * 2 * TURNS  # a warp's request of 128 bytes
    assert found == {
        ("ld", "global"): pytest.approx((times, 128 * times, 4 * times, 0)),
        ("ld", "shared"): pytest.approx((times, 128 * times, 0, times)),
        ("st", "shared"): pytest.approx((times, 128 * times, 0, times)),
        ("st", "global"): pytest.approx((8, 8 * 128, 8 * 4, 0)),
    }
    assert sample.reuse > FIRST  # every turn reads the same sectors


def test_a_turn_waits_for_its_load(sample):
    """To device memory and to shared memory and a barrier, each turn anew; the arithmetic is hidden."""
    for device in (500, 700):
        turn = critical_path(sample, device) / TURNS
        assert device + BARRIER <= turn <= device + BARRIER + SHARED + 40


FIRST_WARPS = """
.version 8.0 .target sm_90 .address_size 64
.visible .entry shuffle(.param .u32 lanes, .param .u32 turns) {
  .reg .b32 %r<5>; .reg .pred %p<2>;
  ld.param.u32 %r0, [lanes]; ld.param.u32 %r1, [turns]; mov.u32 %r2, %tid.x; mov.u32 %r3, 1;
  setp.ge.u32 %p0, %r2, %r0; @%p0 bra end;
again:
  shfl.sync.bfly.b32 %r3, %r3, 1, 31, -1;
  sub.u32 %r1, %r1, 1; setp.ne.u32 %p1, %r1, 0; @%p1 bra again;
end:
  ret; }"""


@pytest.mark.parametrize(
    ("threads", "warps", "most"),
    [(128, 4, 1.0), (128, 1, 4.0), (128, 2, 2.0), (256, 4, 1.0), (256, 5, 1.6), (256, 1, 4.0), (64, 1, 2.0)],
)
def test_the_scheduler_with_the_most_instructions(threads, warps, most):
    """The first warps of a block shuffle, which takes as long as a pass through shared memory; each fourth
    is of the same scheduler."""
    kernel, turns = SimpleNamespace(threads=threads), 1000
    block = SimpleNamespace(kernel=kernel, blocks=10, shared_bytes=0, values=(32 * warps, turns))
    sample = SampledKernel(FIRST_WARPS).sample(block, (), 4)
    assert imbalance(sample) == pytest.approx(most, rel=0.02)
    assert traffic(sample) == (warps * turns, (), 0)


def test_a_block_alone_waits_for_its_scheduler_with_the_most_warps():
    """Of 400 instructions that do not wait for each other."""
    many = FIRST_WARPS.replace("shfl.sync.bfly.b32 %r3, %r3, 1, 31, -1;", "add.u32 %r3, %r2, 1;" * 400)

    def path(warps):
        kernel = SimpleNamespace(threads=32 * warps)
        block = SimpleNamespace(kernel=kernel, blocks=1, shared_bytes=0, values=(32 * warps, 1))
        return critical_path(SampledKernel(many).sample(block, (), 1), 500)

    assert path(1) == path(4) < path(5) == path(8)
    assert path(8) == pytest.approx(2 * path(4), rel=0.1)


def test_arrays_are_bounded_though_they_are_not_there():
    arrays = (Operand("x", (63,), FLOAT32.numpy), Operand("y", (64,), FLOAT32.numpy))
    with pytest.raises(ptx.OutOfBoundsError, match="access of 4 bytes at byte 252"):
        SampledKernel(COPY).sample(LAUNCH, arrays, 4)


def test_an_executed_sample_is_spread_over_the_grid():
    assert spread(3, 4).tolist() == [0, 1, 2]
    chosen = spread(1000, 4)
    assert [int(block) // 250 for block in chosen] == [0, 1, 2, 3]
    assert (chosen == spread(1000, 4)).all()


def test_the_rest_is_scaled_by_what_was_looked_at():
    tally = Tally()
    looked_at = sum(tally.takes(2) for _ in range(1000))
    assert FIRST < looked_at < 1000 / 5
    assert tally.scale == pytest.approx(1000 / looked_at)


@pytest.mark.parametrize(
    ("place", "share"),
    [
        (lambda lane: lane // 2, 1.0),  # n and n ^ 1
        (lambda lane: lane & ~2, 1.0),  # n and n ^ 2
        (lambda lane: lane // 8, 1.0),
        (lambda lane: lane % 8, 0.0),
        (lambda lane: lane, 0.0),
        (lambda lane: np.where(lane < 32, lane // 2, lane), 0.5),  # of two warps
    ],
)
def test_which_wide_loads_are_broadcast_in_pairs(place, share):
    lanes = np.arange(64)
    assert paired(Active(np.ones(64, bool), 64), 16 * place(lanes)) == share


SMALL = convolution(1, 4, (16, 16), 32, 3)


def test_a_kernel_is_counted_as_by_hand():
    """conv_tiled on 32 channels of 3x3 in one block of 256 pixels: 9 C turns of 32 products, 8 warps."""
    (found,) = counted(SMALL, "conv_tiled", H200)
    products = 8 * 32 * 9 * 4
    assert (found.kernel, found.blocks, found.threads) == ("conv_tiled float32 32x256", 1, 256)
    assert products <= found.work.fp32 <= found.work.issued
    assert found.work.issued < 6 * products  # and not, say, each thread's instructions
    assert found.array_bytes == 4 * (4 * 256 + 32 * 36 + 32 * 256)
    assert found.scratch_bytes == 0
    assert found.l2_bytes >= 4 * 32 * 256  # the output at least
    twice = counted(replace(SMALL, C=8), "conv_tiled", H200)[0]
    assert twice.work.fp32 - found.work.fp32 == pytest.approx(products, rel=0.3)


@pytest.mark.wide  # seconds of the compiler
def test_memory_between_launches_counts_once():
    """A block of Winograd's main kernel reads weights from it and writes sums into it."""
    spec = convolution(1, 64, 8, 64, 3)
    algorithm = selected(spec, H200, "conv_winograd")
    words = algorithm.plan(spec, contiguous(spec), H200).elements
    found = counted(spec, "conv_winograd", H200)
    assert len(found) == 3 and {each.scratch_bytes for each in found} == {4 * words}
    assert found[1].array_bytes == 4 * 64 * 8 * 8 + 4 * 64 * 64 * 9


def test_launches_are_captured_without_memory():
    spec = ConvSpec(64, 64, 4096, 4096, 64, 3, 3, ((1, 1), (1, 1)))  # 256 GiB of input and as much of output
    (found,) = launches(spec, selected(spec, H200, "conv_tiled"))
    assert found.launch.blocks > 2**20
    assert [each and each.shape for each in found.operands] == [
        (64, 64, 4096, 4096), (64, 64, 3, 3), None, (64, 64, 4096, 4096),
    ]  # fmt: skip
    assert launches(replace(spec, N=0), selected(spec, H200, "conv_tiled")) == []


@pytest.mark.parametrize("name", ["conv_winograd", "conv_implicit_gemm"])
def test_launches_are_planned_for_the_gpu_that_is_asked_for(name):
    """Few pixels of many channels: how many blocks share the depth depends on the multiprocessors."""
    spec = convolution(1, 512, 14, 512, 3)
    blocks = {}
    for card, gpu in GPUS.items():
        blocks[card] = [each.launch.blocks for each in launches(spec, selected(spec, gpu, name), gpu)]
    assert blocks["h200"] == blocks["h100"] != blocks["l4"]


@pytest.mark.parametrize(
    ("opcode", "unit"),
    [("FFMA", "fp32"), ("DFMA", "fp64"), ("FMNMX", "integer"), ("IADD3", "integer"), ("MUFU", "special"),
     ("LDS", ""), ("BRA", ""), ("UIADD3", "")],
)  # fmt: skip
def test_opcodes_go_to_their_units(opcode, unit):
    assert slots.unit_of(opcode) == unit
    one = slots.of_mix({opcode: 2})
    assert one.issued == 2 and sum((one.fp32, one.fp64, one.integer, one.special)) == 2 * bool(unit)


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.parametrize("tile", TILES, ids=lambda tile: f"{tile.k}x{tile.pixels}")
def test_operands_of_128_bits_are_loaded_in_two_passes(monkeypatch, tile):
    monkeypatch.setattr(implicit_gemm.plan, "choose", lambda *problem: GemmChoice(tile, 1))
    (captured,) = launches(convolution(1, 16, 32, 128, 3), implicit_gemm.ALGORITHM)
    sample = executable(captured.launch.kernel, "sm_90a").sample(captured.launch, captured.operands, 2)
    loads = [
        traffic for (instruction, space), traffic in sample.traffic.items()
        if space == "shared" and instruction.parts == ("ld", "shared", "v4", "f32")
    ]  # fmt: skip
    assert len(loads) == 4 * SLAB
    assert all(traffic.wavefronts == 2 * traffic.requests for traffic in loads)
