"""The predictions of `profiling.model`: their arithmetic on made-up counts, and counts that are known."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import ConvSpec
from profiling import model, predictions, slots
from profiling.block_sample import SampledKernel, spread
from profiling.captured import array, launches
from profiling.counted import Counted, algorithm_of, counted
from profiling.critical_path import BARRIER, DEVICE, SHARED, critical_path
from profiling.gpus import GPUS
from profiling.slots import Work
from profiling.watching import FIRST, Tally, paired
from profiling.workloads import WORKLOADS, Layer, Workload, convolution, pool
from tests import ptx
from tests.ptx.lanes import Active

H200 = replace(GPUS["h200"], multiprocessors=100, clock=1.0, device_gbytes=1000.0)
NOTHING = Counted("made up", 100, 256, 32, 0, Work(), 0.0, 0.0, 0.0, 0, 0)
OVERHEAD = model.LATENCY / 1e3  # at 1 GHz, in microseconds


def launch(**fields):
    return replace(NOTHING, **fields)


# Arithmetic


@pytest.mark.parametrize(
    ("fields", "bound", "us"),
    [
        ({"work": Work(issued=4000 * model.ISSUE, fp32=100)}, "issue", 1.0),
        ({"work": Work(issued=4000, fp32=8000)}, "math", 2.0),  # 32 of 128 lanes
        ({"work": Work(integer=4000)}, "math", 2.0),  # 32 of 64 lanes
        ({"work": Work(fp64=4000)}, "math", 2.0),
        ({"work": Work(special=1000)}, "math", 2.0),
        ({"shared_cycles": 3000.0}, "shared", 3.0),
        ({"l2_bytes": 32 * 5000 * model.MEMORY}, "l2", 5.0),
        ({"l2_bytes": 1e5, "array_bytes": int(6e6 * model.MEMORY)}, "device", 6.0),
        ({"path_cycles": 7000.0, "shared_cycles": 10.0}, "latency", 7.0),
    ],
)
def test_what_takes_longest_decides(fields, bound, us):
    found = model.of_launch(launch(**fields), H200)
    assert found.bound == bound
    assert found.us == pytest.approx(us + OVERHEAD)
    assert getattr(found, f"{bound}_us") == pytest.approx(us)


@pytest.mark.parametrize(
    ("blocks", "waves", "us"),
    [(1, 1 / 800, 1), (100, 1 / 8, 1), (101, 101 / 800, 2), (800, 1, 8), (801, 801 / 800, 9)],
)
def test_the_multiprocessor_with_the_most_blocks_counts(blocks, waves, us):
    """256 threads with 32 registers: 8 blocks at once, of one microsecond each."""
    found = model.of_launch(launch(blocks=blocks, shared_cycles=1000.0), H200)
    assert found.waves == pytest.approx(waves)
    assert found.us == pytest.approx(us + OVERHEAD)


def test_a_wave_takes_at_least_what_a_block_takes_alone():
    assert model.waves(8, 8, cycles=10.0, path=100.0) == (100.0, 100.0)
    assert model.waves(9, 8, cycles=10.0, path=100.0) == (200.0, 200.0)
    assert model.waves(8, 8, cycles=20.0, path=100.0) == (160.0, 100.0)
    assert model.waves(9, 8, cycles=20.0, path=10.0) == (180.0, 20.0)


def test_registers_and_shared_memory_limit_what_hides_latency():
    fields = {"blocks": 800, "path_cycles": 1000.0}
    many, few = launch(**fields), launch(**fields, registers=128)  # 8 blocks, 2 blocks
    assert model.of_launch(few, H200).latency_us == 4 * model.of_launch(many, H200).latency_us
    assert model.of_launch(launch(**fields, shared_bytes=100_000), H200).waves == 4


@pytest.mark.parametrize("name", ["blocks", "shared_cycles", "l2_bytes", "path_cycles", "array_bytes"])
def test_more_of_anything_never_takes_less(name):
    base = launch(
        work=Work(900.0, 500.0), shared_cycles=300.0, l2_bytes=5e4, path_cycles=900.0, array_bytes=2_000_000
    )
    for gpu in GPUS.values():
        amounts = [getattr(base, name) * factor for factor in (1, 2, 4, 64)]
        times = [model.of_launch(replace(base, **{name: amount}), gpu).us for amount in amounts]
        assert times == sorted(times)


def test_device_memory_is_asked_once_and_scratch_where_the_cache_is_too_small():
    small, large = 10_000_000, 60_000_000
    asked = launch(blocks=10_000, l2_bytes=1e5, array_bytes=5_000_000)
    assert model.device_bytes(asked, H200) == 5_000_000
    assert model.device_bytes(replace(asked, scratch_bytes=small), H200) == 5_000_000
    assert model.device_bytes(replace(asked, scratch_bytes=large), H200) == 65_000_000
    assert model.device_bytes(replace(asked, l2_bytes=100.0), H200) == 1_000_000  # the rest is left out


def test_launches_add_up():
    one = model.of_launch(launch(shared_cycles=1000.0), H200)
    two = model.of_launch(launch(l2_bytes=1e6, kernel="longest"), H200)
    both = model.together([one, two])
    assert both.us == pytest.approx(one.us + two.us + model.START + model.NEXT)
    assert (both.bound, both.kernel, both.launches) == ("l2", "longest", 2)
    assert both.shared_us == one.shared_us
    assert model.together([]).us == 0


def test_the_peaks_are_those_of_the_data_sheets():
    teraflops = {name: round(gpu.gflops / 1e3, 1) for name, gpu in GPUS.items()}
    assert teraflops == {"h200": 66.9, "h100": 66.9, "a100": 19.5, "l4": 30.3, "rtx4090": 82.6}


# Counts


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


@pytest.fixture(scope="module")
def sample():
    """10 blocks of 64 threads, 4 of them executed: each thread reads its own number TURNS times."""
    kernel = SimpleNamespace(threads=64)
    arrays = array((64,), "float32"), array((64,), "float32", writeable=True)
    return SampledKernel(COPY).sample(Launch(kernel, 10, 0, (TURNS,)), arrays, 4)


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
    turn = critical_path(sample) / TURNS
    assert DEVICE + BARRIER <= turn <= DEVICE + BARRIER + SHARED + 40


def test_arrays_are_bounded_though_they_are_not_there():
    kernel, arrays = SimpleNamespace(threads=64), (array((63,), "float32"), array((64,), "float32", True))
    with pytest.raises(ptx.OutOfBoundsError, match="access of 4 bytes at byte 252"):
        SampledKernel(COPY).sample(Launch(kernel, 10, 0, (TURNS,)), arrays, 4)


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
    (found,) = counted(SMALL, "conv_tiled", "sm_90a")
    products = 8 * 32 * 9 * 4
    assert (found.kernel, found.blocks, found.threads) == ("conv_tiled float32 32x256", 1, 256)
    assert products <= found.work.fp32 <= found.work.issued
    assert found.work.issued < 6 * products  # and not, say, each thread's instructions
    assert found.array_bytes == 4 * (4 * 256 + 32 * 36 + 32 * 256)
    assert found.scratch_bytes == 0
    assert found.l2_bytes >= 4 * 32 * 256  # the output at least
    twice = counted(replace(SMALL, C=8), "conv_tiled", "sm_90a")[0]
    assert twice.work.fp32 - found.work.fp32 == pytest.approx(products, rel=0.3)
    assert model.predict(SMALL, "conv_tiled", GPUS["h200"]).us > model.START


def test_launches_are_captured_without_memory():
    spec = ConvSpec(64, 64, 4096, 4096, 64, 3, 3, ((1, 1), (1, 1)))  # 256 GiB of input and as much of output
    (found,) = launches(spec, algorithm_of(spec, "conv_tiled"))
    assert found.launch.blocks > 2**20
    assert [None if each is None else each.shape for each in found.arrays] == [
        (64, 64, 4096, 4096), (64, 64, 3, 3), None, (64, 64, 4096, 4096),
    ]  # fmt: skip
    assert launches(replace(spec, N=0), algorithm_of(spec, "conv_tiled")) == []


@pytest.mark.parametrize(
    ("opcode", "unit"),
    [("FFMA", "fp32"), ("DFMA", "fp64"), ("FMNMX", "integer"), ("IADD3", "integer"), ("MUFU", "special"),
     ("LDS", ""), ("BRA", ""), ("UIADD3", "")],
)  # fmt: skip
def test_opcodes_go_to_their_units(opcode, unit):
    assert slots.unit_of(opcode) == unit
    one = slots.of_mix({opcode: 2})
    assert one.issued == 2 and sum((one.fp32, one.fp64, one.integer, one.special)) == 2 * bool(unit)


# The command


def test_the_command_writes_a_row_for_each_gpu_layer_and_algorithm(tmp_path, capsys, monkeypatch):
    layers = (Layer("small", SMALL, 3), Layer("pool", pool("max", 1, 4, 8, 2)))
    monkeypatch.setitem(WORKLOADS, "call_cost", lambda: Workload("call_cost", layers))
    out = tmp_path / "model.json"
    arguments = ["--gpu", "h200", "h100", "--workload", "call_cost", "--jobs", "1", "--out", str(out)]
    assert model.main([*arguments, "--algorithm", "d"]) == 0  # conv_tiled, pool_direct
    written = json.loads(out.read_text())
    names = [name for layer in layers for name in model.names(layer.spec) if "d" in name]
    assert {"conv_tiled", "pool_direct"} <= {*names}
    assert [(row["gpu"], row["algorithm"]) for row in written["rows"]] == [
        (gpu, name) for gpu in ("H200", "H100 SXM") for name in names
    ]
    assert written["predicted"] is True and {"date", "commit", "packages"} < set(written)
    for row in written["rows"]:
        assert row["us"] > model.START and 0 < row["roofline_pct"] < 100 and row["known"] is None
    for place in {(row["gpu"], row["layer"]) for row in written["rows"]}:
        members = [row for row in written["rows"] if (row["gpu"], row["layer"]) == place]
        assert sum(row["fastest"] for row in members) == 1
        assert min(members, key=lambda row: row["us"])["fastest"]
    printed = capsys.readouterr().out
    assert "predicted" in printed and "conv_tiled" in printed and "H100 SXM" in printed


def test_the_summary_weighs_layers_by_their_number():
    base = {"gpu": "H200", "workload": "made up", "spec": "", "roofline_pct": 50.0}
    rows = [
        {**base, "layer": "a", "multiplicity": 3, "us": 10.0, "selected": True, "fastest": False},
        {**base, "layer": "a", "multiplicity": 3, "us": 5.0, "selected": False, "fastest": True},
        {**base, "layer": "b", "multiplicity": 1, "us": 8.0, "selected": True, "fastest": True},
    ]
    rows[-1]["roofline_pct"] = 2.0
    (found,) = predictions.summarise(rows)
    assert (found["layers"], found["pass_us"], found["agrees"]) == (2, 38.0, 1)
    assert found["over_fastest"] == pytest.approx(2**0.5, rel=1e-3)
    assert (found["roofline_pct"], found["worst"], found["worst_pct"]) == (10.0, "b", 2.0)


def test_what_is_known_of_others_is_shown_beside_with_its_source(capsys):
    (spec, _), (us, whose) = next(iter(predictions.KNOWN.items()))
    assert spec in {each.spec for each in predictions.known().layers}
    layer = Layer("known", spec)
    prediction = model.Prediction(100.0, *[1.0] * 6, 2.0, "issue", "a kernel")
    rows = predictions.rows(GPUS["h200"], Workload("made up", (layer,)), layer, {"conv_tiled": prediction})
    assert [row["known_us"] for row in rows] == [us]
    predictions.print_tables([rows[0] | {"selected": True}])
    assert whose in capsys.readouterr().out
    elsewhere = predictions.rows(GPUS["a100"], Workload("", ()), layer, {"conv_tiled": prediction})
    assert elsewhere[0]["known"] is None


@pytest.mark.parametrize(
    "arguments", [["--gpu", "gt710"], ["--algorithm", "no-such", "--workload", "call_cost"]]
)
def test_what_is_not_there_is_named(arguments, capsys):
    with pytest.raises(SystemExit):
        model.main(arguments)
    assert arguments[1] in capsys.readouterr().err
