"""The predictions of `profiling.model`: their arithmetic on made-up counts, and what is written."""

import json
from dataclasses import replace

import pytest

from gpuconv.cuda.runtime.cost import ISSUE, MEMORY
from gpuconv.cuda.runtime.gpu import GPUS, H200
from profiling.counts import Counted, Work, supported
from profiling.model import command, predict, prediction, rows
from profiling.results import significant
from profiling.workloads import WORKLOADS, Layer, Workload, convolution, pool

LARGE = replace(H200, multiprocessors=100, clock=1.0, device_gbytes=1000.0)
NOTHING = Counted("made up", 100, 256, 32, 0, Work(), 0.0, (), 0.0, 0.0, 0, 0)
STREAM = LARGE.measured.stream_us
OVERHEAD = STREAM + LARGE.measured.device_latency / 1e3  # at 1 GHz, in microseconds


def launch(**fields):
    return replace(NOTHING, **fields)


# Arithmetic


@pytest.mark.parametrize(
    ("fields", "bound", "us"),
    [
        ({"work": Work(issued=4000 * ISSUE, fp32=100)}, "issue", 1.0),
        ({"work": Work(issued=4000, fp32=8000)}, "math", 2.0),  # 32 of 128 lanes
        ({"work": Work(integer=4000)}, "math", 2.0),  # 32 of 64 lanes
        ({"work": Work(fp64=4000)}, "math", 2.0),
        ({"work": Work(special=1000)}, "math", 2.0),
        ({"shared_cycles": 3000.0}, "shared", 3.0),
        ({"accesses": ((10, 40), (1000, 4000), (500, 1000))}, "shared", 1.51),
        ({"accesses": ((3000, 3000),)}, "shared", 3.0),
        ({"l2_bytes": LARGE.measured.l2_rate * 5000}, "l2", 5.0),
        ({"l2_bytes": 1e5, "array_bytes": int(6e6 * MEMORY)}, "device", 6.0),
        ({"path_cycles": 7000.0, "shared_cycles": 10.0}, "latency", 7.0),
    ],
)
def test_what_takes_longest_decides(fields, bound, us):
    found = prediction.of_launch(launch(**fields), LARGE)
    assert found.bound == bound
    assert found.us == pytest.approx(us + OVERHEAD)
    assert getattr(found, f"{bound}_us") == pytest.approx(us)


@pytest.mark.parametrize(
    ("blocks", "waves", "us"),
    [(1, 1 / 800, 1), (100, 1 / 8, 1), (101, 101 / 800, 2), (800, 1, 8), (801, 801 / 800, 9)],
)
def test_the_multiprocessor_with_the_most_blocks_counts(blocks, waves, us):
    """256 threads with 32 registers: 8 blocks at once, of one microsecond each."""
    found = prediction.of_launch(launch(blocks=blocks, shared_cycles=1000.0), LARGE)
    assert found.waves == pytest.approx(waves)
    assert found.us == pytest.approx(us + OVERHEAD)


@pytest.mark.parametrize(
    ("blocks", "cycles", "path", "us", "latency_us"),
    [
        (800, 10, 1000, 1.0, 1.0),
        (900, 10, 1000, 2.0, 2.0),
        (800, 200, 1000, 1.6, 1.0),
        (900, 200, 100, 1.8, 0.2),
    ],
)
def test_a_wave_takes_at_least_what_a_block_takes_alone(blocks, cycles, path, us, latency_us):
    """8 or 9 blocks of a multiprocessor that holds 8."""
    found = prediction.of_launch(launch(blocks=blocks, shared_cycles=cycles, path_cycles=path), LARGE)
    assert found.us == pytest.approx(us + OVERHEAD)
    assert found.latency_us == pytest.approx(latency_us)


@pytest.mark.parametrize(
    ("blocks", "us"),
    [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3.5), (8, 4.5), (10, 5.5), (15, 8)],
)
@pytest.mark.parametrize("work", [Work(issued=2000 * ISSUE), Work(fp32=2000)], ids=["issue", "math"])
def test_warps_do_not_split_among_schedulers(blocks, us, work):
    """Blocks of two warps, five of them at once, whose warps take a scheduler a microsecond each: of ten
    warps it has three."""
    five = launch(blocks=100 * blocks, threads=64, shared_bytes=40_000, work=work)
    assert prediction.of_launch(five, LARGE).us == pytest.approx(us + OVERHEAD)


def test_one_warp_that_does_the_work_of_four_keeps_one_scheduler_busy():
    fields = {"blocks": 100, "threads": 128, "work": Work(issued=4000 * ISSUE)}
    assert prediction.of_launch(launch(**fields), LARGE).issue_us == pytest.approx(1)
    assert prediction.of_launch(launch(**fields, imbalance=4.0), LARGE).issue_us == pytest.approx(4)


def test_registers_and_shared_memory_limit_what_hides_latency():
    fields = {"blocks": 800, "path_cycles": 1000.0}
    many, few = launch(**fields), launch(**fields, registers=128)  # 8 blocks, 2 blocks
    assert prediction.of_launch(few, LARGE).latency_us == 4 * prediction.of_launch(many, LARGE).latency_us
    assert prediction.of_launch(launch(**fields, shared_bytes=100_000), LARGE).waves == 4


@pytest.mark.parametrize("name", ["blocks", "shared_cycles", "l2_bytes", "path_cycles", "array_bytes"])
def test_more_of_anything_never_takes_less(name):
    base = launch(
        work=Work(900.0, 500.0), shared_cycles=300.0, l2_bytes=5e4, path_cycles=900.0, array_bytes=2_000_000
    )
    for gpu in GPUS.values():
        amounts = [getattr(base, name) * factor for factor in (1, 2, 4, 64)]
        times = [prediction.of_launch(replace(base, **{name: amount}), gpu).us for amount in amounts]
        assert times == sorted(times)


def test_device_memory_is_asked_once_and_scratch_where_the_cache_is_too_small():
    small, large = 10_000_000, 45_000_000  # of 50 MB, in which about 37 are kept
    asked = launch(blocks=10_000, l2_bytes=1e5, array_bytes=5_000_000)
    assert prediction.device_bytes(asked, LARGE) == 5_000_000
    assert prediction.device_bytes(replace(asked, scratch_bytes=small), LARGE) == 5_000_000
    assert prediction.device_bytes(replace(asked, scratch_bytes=large), LARGE) == 50_000_000
    assert prediction.device_bytes(replace(asked, l2_bytes=100.0), LARGE) == 1_000_000  # the rest is left out


def test_a_card_whose_loads_are_slow_takes_longer_for_them():
    loads = launch(accesses=((1000.0, 4000.0),))
    assert prediction.shared_cycles(loads, GPUS["rtx4090"]) == 2 * prediction.shared_cycles(loads, LARGE)


def test_launches_add_up():
    one = prediction.of_launch(launch(shared_cycles=1000.0), LARGE)
    two = prediction.of_launch(launch(l2_bytes=1e6, kernel="longest"), LARGE)
    both = prediction.together([one, two])
    assert both.us == pytest.approx(one.us + two.us)
    assert both.us - both.graph_us == pytest.approx(2 * (STREAM - LARGE.measured.graph_us))
    assert (both.bound, both.kernel, both.launches) == ("l2", "longest", 2)
    assert both.shared_us == one.shared_us
    assert prediction.together([]).us == 0


def test_the_peaks_are_those_of_the_data_sheets():
    teraflops = {name: round(gpu.gflops / 1e3, 1) for name, gpu in GPUS.items()}
    assert teraflops == {"h200": 66.9, "h100": 66.9, "a100": 19.5, "l4": 30.3, "rtx4090": 82.6}


# The command

SMALL = convolution(1, 4, (16, 16), 32, 3)


def test_the_command_writes_a_row_for_each_gpu_layer_and_algorithm(tmp_path, capsys, monkeypatch):
    layers = (Layer("small", SMALL, 3), Layer("pool", pool("max", 1, 4, 8, 2)))
    monkeypatch.setitem(WORKLOADS, "call_cost", lambda: Workload("call_cost", layers))
    out = tmp_path / "model.json"
    arguments = ["--gpu", "h200", "h100", "--workload", "call_cost", "--jobs", "0", "--out", str(out)]
    assert command.main([*arguments, "--algorithm", "d"]) == 0  # conv_tiled, pool_direct
    written = json.loads(out.read_text())
    names = [each.name for layer in layers for each in supported(layer.spec)]
    wanted = [name for name in names if "d" in name]
    assert {"conv_tiled", "pool_direct"} <= {*wanted}
    assert [(row["gpu"], row["algorithm"]) for row in written["rows"]] == [
        (gpu, name) for gpu in ("H200", "H100 SXM") for name in wanted
    ]
    assert written["predicted"] is True and {"date", "commit", "packages"} < set(written)
    assert written["layers"] == [4, 4]  # two, on two GPUs
    for row in written["rows"]:
        assert row["us"] > row["graph_us"] > 1 and 0 < row["roofline_pct"] < 100 and row["known"] is None
    for place in {(row["gpu"], row["layer"]) for row in written["rows"]}:
        members = [row for row in written["rows"] if (row["gpu"], row["layer"]) == place]
        assert sum(row["fastest"] for row in members) == 1
        assert min(members, key=lambda row: row["us"])["fastest"]
    tiled = next(row for row in written["rows"] if row["algorithm"] == "conv_tiled")
    assert tiled["us"] == significant(predict(SMALL, "conv_tiled", H200).us)
    printed = capsys.readouterr().out
    assert "predicted" in printed and "conv_tiled" in printed and "H100 SXM" in printed
    assert written["left_out"] == [*rows.LEFT_OUT]
    assert "".join(f"- {each}\n" for each in rows.LEFT_OUT) in printed


def test_an_interrupt_leaves_the_layers_whose_algorithms_are_all_counted(tmp_path, capsys, monkeypatch):
    halved = pool("max", 1, 4, 8, 2)  # counted after convolutions, and this algorithm of it last
    layers = Layer("whole", SMALL), Layer("half", halved)
    monkeypatch.setitem(WORKLOADS, "call_cost", lambda: Workload("call_cost", layers))
    monkeypatch.setattr(command, "CHUNK", 1)
    monkeypatch.setattr(command, "count_chunk", interrupted_at(halved, "pool_separable"))
    out = tmp_path / "model.json"
    arguments = ["--gpu", "h200", "--workload", "call_cost", "--jobs", "0", "--out", str(out)]
    assert command.main(arguments) == 130
    written = json.loads(out.read_text())
    assert {row["layer"] for row in written["rows"]} == {"whole"} and written["layers"] == [1, 2]
    said = capsys.readouterr().err
    assert "pool_rows sm_90a: 1 prediction\n" in said  # of the layer that is not complete
    assert said.endswith("interrupted: what is complete is reported\n")


def test_an_interrupt_before_a_layer_is_complete_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(WORKLOADS, "call_cost", lambda: Workload("call_cost", (Layer("half", SMALL),)))
    monkeypatch.setattr(command, "CHUNK", 1)
    monkeypatch.setattr(command, "count_chunk", interrupted_at(SMALL, "conv_tiled"))
    out = tmp_path / "model.json"
    assert command.main(["--gpu", "h200", "--workload", "call_cost", "--jobs", "0", "--out", str(out)]) == 130
    printed, said = capsys.readouterr()
    assert printed == "" and said.endswith("interrupted: nothing is complete, and nothing is written\n")
    assert not out.exists()


def interrupted_at(spec, algorithm):
    """What counts chunks of one task, until it comes to this one."""

    def count_chunk(chunk):
        ((counted_spec, name, _),) = chunk
        if (counted_spec, name) == (spec, algorithm):
            raise KeyboardInterrupt
        return [(NOTHING,)]

    return count_chunk


def test_the_summary_weighs_layers_by_their_number():
    base = {"gpu": "H200", "workload": "made up", "spec": "", "roofline_pct": 50.0}
    lines = [
        {**base, "layer": "a", "multiplicity": 3, "us": 10.0, "selected": True, "fastest": False},
        {**base, "layer": "a", "multiplicity": 3, "us": 5.0, "selected": False, "fastest": True},
        {**base, "layer": "b", "multiplicity": 1, "us": 8.0, "selected": True, "fastest": True},
    ]
    lines[-1]["roofline_pct"] = 2.0
    (found,) = rows.summarise(lines)
    assert (found["layers"], found["pass_us"], found["agrees"]) == (2, 38.0, 1)
    assert found["over_fastest"] == pytest.approx(2**0.5, rel=1e-3)
    assert (found["roofline_pct"], found["worst"], found["worst_pct"]) == (10.0, "b", 2.0)


def test_what_is_known_of_others_is_shown_beside_with_its_source(capsys):
    (spec, _), (us, whose) = next(iter(rows.KNOWN.items()))
    assert spec in {each.spec for each in rows.known().layers}
    layer = Layer("known", spec)
    predicted = {"conv_tiled": prediction.Prediction(100.0, *[1.0] * 7, 2.0, "issue", "a kernel")}
    lines = rows.of_layer(GPUS["h200"], Workload("made up", (layer,)), layer, predicted)
    assert [row["known_us"] for row in lines] == [us]
    rows.print_tables([lines[0] | {"selected": True}])
    assert whose in capsys.readouterr().out
    elsewhere = rows.of_layer(GPUS["a100"], Workload("", ()), layer, predicted)
    assert elsewhere[0]["known"] is None


@pytest.mark.parametrize(
    "arguments", [["--gpu", "gt710"], ["--algorithm", "no-such", "--workload", "call_cost"]]
)
def test_what_is_not_there_is_named(arguments, capsys):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert arguments[1] in capsys.readouterr().err
