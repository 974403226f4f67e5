"""The benchmark from end to end on problems that take no time, its arithmetic, and wrong command lines."""

import doctest
import json
import time
from dataclasses import replace

import numpy as np
import pytest

import gpuconv
from gpuconv import call as calls
from gpuconv import cpu as engine
from gpuconv.cpu.conv import direct
from gpuconv.spec import ConvSpec
from gpuconv.spec.conv import NETWORK_CHANNELS
from gpuconv.spec.dtypes import FLOATS
from profiling.bench import command, contest, peers, reference, report, rows
from profiling.bench.reference import Error
from profiling.device import Timing, cpu, timing, turns
from profiling.results import FOLDER, Row, tables
from profiling.workloads import (
    WORKLOADS,
    Layer,
    Workload,
    convolution,
    describe,
    label,
    layers,
    operands,
    pool,
)
from tests.profiling.workloads.backward import BACKWARD

REQUIRED = {
    "workload", "op", "dtype", "precision", "algorithm", "threads", "ms", "gflops", "gbytes_s",
    "roofline_pct", "max_error", "norm_error", "peer", "peer_ms",
}  # fmt: skip
CEILING = {"threads": 1, "gflops": 100.0, "copy_gbytes_s": {1000: 50.0, 10_000: 10.0}}
QUICKLY = ["--repeats", "1", "--seconds", "0.01", "--threads", "1", "--no-plot"]


@pytest.fixture
def ready(monkeypatch):
    """Ceilings without measuring them, and gpuconv's threads restored."""
    monkeypatch.setattr(contest, "ceilings", lambda engine, dtype, threads: [CEILING])
    before = gpuconv.get_num_threads()
    yield
    peers.use_threads(before)


def run(tmp_path, *arguments) -> tuple[int, dict]:
    status = command.main([*QUICKLY, "--out", str(tmp_path), *arguments])
    (path,) = tmp_path.glob("*.json")
    return status, json.loads(path.read_text(encoding="utf-8"))


def test_a_run_writes_what_it_promises(ready, tmp_path, capsys):
    status, result = run(tmp_path, "--workload", "call_cost", "--algorithm", "selected")
    assert status == 0
    assert {"device", "driver", "packages", "date", "commit", "rows"} <= result.keys()
    assert {row["op"] for row in result["rows"]} == {"conv2d", "max_pool2d"}
    for row in result["rows"]:
        assert row.keys() >= REQUIRED
        assert row["max_error"] <= 2e-6 and row["threads"] == 1 and row["selected"]
    names = {algorithm.name for listed in engine.ALGORITHMS.values() for algorithm in listed}
    assert {row["algorithm"] for row in result["rows"]} <= names
    printed = capsys.readouterr().out.lower()
    assert "call_cost, 1 thread" in printed
    assert ("summary" in printed) == any(row["peer"] for row in result["rows"])  # which others may spoil


def noted_rows(monkeypatch, *then):
    """Each call of `contest.rows` gives a row, after it has called the next of `then`."""
    actions = iter(then)

    def one(engine, options, workload, layer, arrays, ceiling):
        next(actions, lambda: None)()
        return [line(1.0, 2.0) | {"layer": layer.label, "workload": workload.name}]

    monkeypatch.setattr(contest, "rows", one)


def interrupt():
    raise KeyboardInterrupt


def written(tmp_path):
    (path,) = tmp_path.glob("*.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_what_was_measured_is_written_and_printed_as_it_comes(ready, tmp_path, monkeypatch, capsys):
    """So a run that is ended, however, leaves it: here while the second and the third layer run."""
    seen = []

    def look():
        seen.append((written(tmp_path), capsys.readouterr().out))

    noted_rows(monkeypatch, lambda: None, look, look)
    command.main([*QUICKLY, "--out", str(tmp_path), "--workload", "lenet5"])
    assert [len(result["rows"]) for result, _ in seen] == [1, 2]
    assert [result["layers"] for result, _ in seen] == [[1, 3], [2, 3]]
    assert all(printed.startswith("lenet5 ") and "2.00x torch" in printed for _, printed in seen)
    assert not [*tmp_path.glob("*.[0-9]*")]  # nothing is left half written


def test_an_interrupt_leaves_what_was_measured(ready, tmp_path, monkeypatch, capsys):
    noted_rows(monkeypatch, lambda: None, interrupt)
    status, result = run(tmp_path, "--workload", "lenet5")
    assert status == 130 and len(result["rows"]) == 1 and result["layers"] == [1, 3]
    printed, said = capsys.readouterr()
    assert "interrupted: what is complete is reported" in said and "summary" in printed.lower()


def test_no_plot_is_drawn_after_an_interrupt(ready, tmp_path, monkeypatch):
    """It takes seconds, in which nothing seems to happen."""
    noted_rows(monkeypatch, lambda: None, interrupt)
    monkeypatch.setattr(command, "plot", lambda *arguments: pytest.fail("a plot"))
    assert command.main(["--out", str(tmp_path), "--workload", "lenet5", "--threads", "1"]) == 130


@pytest.mark.parametrize("arguments", [["--workload", "lenet5"], ["--import-time"]])
def test_an_interrupt_before_the_first_row_leaves_the_file_of_another_run(
    ready, tmp_path, monkeypatch, capsys, arguments
):
    noted_rows(monkeypatch, lambda: None)
    monkeypatch.setattr(command.imports, "measure", lambda *arguments: [line(1.0, 2.0)])
    _, before = run(tmp_path, *arguments)
    noted_rows(monkeypatch, interrupt)
    monkeypatch.setattr(command.imports, "measure", lambda *arguments: interrupt())
    capsys.readouterr()
    assert run(tmp_path, *arguments) == (130, before)
    printed, said = capsys.readouterr()
    assert printed == "" and said.endswith("interrupted: nothing is complete, and nothing is written\n")


def test_quick_ends_when_its_time_is_over_wherever_it_is(ready, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(command.QUICK, "limit", 0.5)
    noted_rows(monkeypatch, lambda: None, lambda: time.sleep(60))
    begun = time.monotonic()
    status, result = run(tmp_path, "--quick", "--workload", "lenet5")
    assert time.monotonic() - begun < 20
    assert status == 0 and len(result["rows"]) == 1
    assert "0 s are over" in capsys.readouterr().err


def test_quick_takes_two_minutes_at_most_and_others_as_long_as_they_need():
    assert command.parse(["--quick"]).limit <= 105  # and what Python, ceilings and the report need
    assert command.parse([]).limit is None
    assert (command.parse(["--quick"]).algorithm, command.parse([]).algorithm) == ("selected", "all")
    assert command.parse(["--quick", "--algorithm", "all"]).algorithm == "all"


def test_quick_takes_a_layer_of_each_workload_in_turn():
    chosen = command.layers_of(command.parse(["--quick"]))
    names = [workload.name for workload, _ in chosen]
    assert len(set(names[: len(set(names))])) == len(set(names))
    assert max(map(names.count, names)) <= 5
    every = command.layers_of(command.parse(["--workload", "unet"]))
    assert len(every) == 15 and {workload.name for workload, _ in every} == {"unet"}


@pytest.mark.wide  # seconds
def test_an_algorithm_is_measured_by_being_listed(ready, tmp_path, monkeypatch):
    listed = engine.ALGORITHMS["conv"]
    other = replace(direct.ALGORITHM, name="other")
    picky = replace(other, name="picky", unsupported=lambda spec, layouts, device: "never")
    monkeypatch.setitem(engine.ALGORITHMS, "conv", (*listed, other, picky))
    _, result = run(tmp_path, "--workload", "call_cost")
    selected = {row["algorithm"]: row["selected"] for row in result["rows"] if row["op"] == "conv2d"}
    assert selected["other"] is False and "picky" not in selected
    _, result = run(tmp_path, "--workload", "call_cost", "--algorithm", "other")
    assert {row["algorithm"] for row in result["rows"]} == {"other"}
    _, result = run(tmp_path, "--workload", "call_cost", "--algorithm", "selected")
    assert "other" not in {row["algorithm"] for row in result["rows"]}


@pytest.mark.wide  # seconds
def test_a_wrong_result_is_not_timed_and_fails_the_run(ready, tmp_path, monkeypatch, capsys):
    def zeros(x, w, bias, y):
        y[...] = 0

    listed = engine.ALGORITHMS["conv"]
    wrong = replace(direct.ALGORITHM, name="wrong", plan=lambda spec, layouts, device: zeros)
    monkeypatch.setitem(engine.ALGORITHMS, "conv", (*listed, wrong))
    status, result = run(tmp_path, "--workload", "call_cost")
    (row, *_) = [row for row in result["rows"] if row["algorithm"] == "wrong"]
    assert status == 1
    assert row["ms"] is row["roofline_pct"] is None and row["max_error"] == 1
    assert "wrong is wrong" in capsys.readouterr().err


@pytest.mark.wide  # seconds
def test_a_run_without_peers_has_null_peers(ready, tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    _, result = run(tmp_path, "--workload", "call_cost")
    assert {row["peer"] for row in result["rows"]} == {None}
    assert result["summary"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workload", "resnet51"], ["--device", "tpu"], ["--dtype", "int32"], ["--threads", "0"],
        ["--threads", "one"], ["--repeats", "-1"], ["--device", "cuda", "--threads", "2"],
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        command.parse(arguments)
    assert stop.value.code == 2
    assert arguments[0] in capsys.readouterr().err or "--threads" in arguments


def test_an_unknown_algorithm_is_refused_by_name():
    with pytest.raises(SystemExit, match="conv_direct"):
        command.main(["--algorithm", "conv_magic"])


@pytest.mark.parametrize(
    "spec",
    [
        convolution(1, 1, 16, 1, 5), pool("max", 1, 1, 16, 3, stride=1, pad=1),
        pool("mean", 1, 1, 16, 3, stride=1, pad=1), convolution(2, 4, 8, 4, 3, 2, groups=4), *BACKWARD,
    ],
)  # fmt: skip
def test_every_peer_computes_the_same(spec):
    if spec in BACKWARD:
        pytest.importorskip("torch")  # by which gradients are checked
    arrays = operands(spec)
    names, best, _ = contest.candidates(spec, arrays, "selected")
    assert names == [best]
    calls = contest.contestants("cpu", spec, arrays, names)
    for name, error in contest.check(cpu, spec, arrays, calls).items():
        assert error.greatest <= 2e-6, name


@pytest.mark.parametrize(
    "spec",
    [
        convolution(2, 1, 16, 1, 5), convolution(1, 1, 16, 2, 5), convolution(1, 1, 16, 1, 4),
        convolution(1, 1, 16, 1, 5, pad=0), convolution(1, 1, 16, 1, 5, stride=2),
        replace(convolution(1, 1, 16, 1, 3), pads=((2, 0), (1, 1))),
        replace(convolution(1, 1, 16, 1, 3), pads=((2, 2), (2, 2)), dilation=(2, 2)),
    ],
)  # fmt: skip
def test_image_filters_decline_what_they_cannot_do(spec):
    assert not peers.is_image_filter(spec)


@pytest.mark.parametrize("spec", BACKWARD, ids=label)
def test_any_algorithm_can_be_forced(spec, monkeypatch):
    """Of functions too that let no user force one."""
    names, _, _ = contest.candidates(spec, operands(spec), "all")
    ran = []
    recall = calls.recall

    def noting(*arguments):
        replay = recall(*arguments)
        ran.append(replay.algorithm.name)
        return replay

    monkeypatch.setattr(calls, "recall", noting)
    forced = contest.contestants("cpu", spec, operands(spec), names)
    for name in names:
        forced[name]()
    assert ran == names


def test_what_cannot_be_checked_is_left_out(ready, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "find_spec", lambda name: None)
    monkeypatch.setitem(WORKLOADS, "windows", lambda: Workload("windows", (Layer("few", BACKWARD[-1]),)))
    status, result = run(tmp_path, "--workload", "windows")
    assert (status, result["rows"]) == (0, [])
    assert "few: left out, for it takes PyTorch to check it" in capsys.readouterr().err


def test_the_lower_bound_takes_the_scarcer_resource():
    pointwise = ConvSpec(1, 1, 8, 8, 1, 1, 1)  # 128 operations, 516 bytes
    assert rows.lower_bound(pointwise, CEILING) == pytest.approx(516 / 50e9)
    deep = convolution(1, 64, 8, 64, 3)  # 180224 bytes
    assert rows.lower_bound(deep, CEILING) == pytest.approx(max(deep.flops / 100e9, deep.min_bytes / 10e9))
    speeds = rows.speeds(pointwise, Timing(median=516 / 50e6, fastest=1e-6), CEILING)
    assert speeds["roofline_pct"] == pytest.approx(100, rel=1e-3)
    assert speeds["gbytes_s"] == pytest.approx(50, rel=1e-3)


def test_a_spec_is_described_in_full():
    spec = ConvSpec(2, 4, 7, 9, 6, 3, 2, ((1, 2), (0, 1)), (2, 1), (1, 2), groups=2)
    assert describe(spec) == "2x4x7x9 6x2x3x2 pad 1 2 0 1 stride 2 1 dilation 1 2 groups 2"
    assert describe(pool("max", 1, 3, 4, 2)) == "1x3x4x4 2x2 pad 0 0 0 0 stride 2 2"


def line(ms, peer_ms, multiplicity=1, selected=True, ieee=True) -> Row:
    layer = Layer(str(ms), convolution(1, 1, 8, 1, 3), multiplicity)
    workload = Workload("made up", (layer,))
    chosen = rows.Chosen(selected, ieee)
    ours = rows.row(workload, layer, "a", chosen, Timing(ms, ms), Error(1e-7, 1e-7), CEILING)
    return ours | rows.against("torch", peer_ms and Timing(peer_ms, peer_ms), Error(1e-7, 1e-7))


def test_the_summary_averages_ratios_of_selected_algorithms():
    members = [line(1.0, 4.0), line(2.0, 2.0, multiplicity=3)]
    ignored = [line(1.0, 100.0, selected=False), line(1.0, None)]
    (entry,) = report.summarise([*members, *ignored])
    assert (entry["layers"], entry["geomean"], entry["geomean_fastest"]) == (2, 2, 2)
    assert entry["total"] == pytest.approx(10 / 7, rel=1e-3)


def test_what_ieee_selects_has_a_column_and_a_mean_of_its_own():
    mixing = line(1.0, 4.0, ieee=False)
    plain = mixing | {"algorithm": "b", "selected": False, "ieee": True, "ms": 2.0}
    (entry,) = report.summarise([mixing, plain])
    assert (entry["geomean"], entry["geomean_ieee"]) == (4, 2)
    (table,) = report.tables([mixing, plain])
    first, second = (dict(zip(table.header, cells, strict=True)) for cells in table.lines)
    assert (first["ms"], first["ieee ms"]) == ("1", "2")
    assert (second["ms"], second["ieee ms"]) == ("2", "")


def test_the_selected_are_those_with_and_without_ieee():
    spec = convolution(1, 256, 14, 256, 3)
    assert contest.candidates(spec, operands(spec), "selected") == (
        ["conv_winograd", "conv_implicit_gemm"], "conv_winograd", "conv_implicit_gemm",
    )  # fmt: skip


def test_tables_are_plain_without_rich(monkeypatch, capsys):
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    report.print_report([line(1.0, 4.0)])
    printed = capsys.readouterr().out
    assert "made up, 1 thread\nlayer" in printed and "x torch" in printed
    assert printed.splitlines()[3].split()[-1] == "4"


@pytest.mark.parametrize("module", [timing, layers])
def test_the_examples_hold(module):
    results = doctest.testmod(module)
    assert results.attempted > 0 and results.failed == 0


def test_turns_share_out_repeats_and_seconds():
    assert turns([1.0], repeats=25, seconds=1.0) == [[5]] * 5
    counts = np.array(turns([100.0, 0.0, 1e6], repeats=10, seconds=0.5))
    assert counts.sum(axis=0).tolist() == [5, 10, 3]
    assert np.sum(turns([1.0], repeats=1, seconds=1.0)) == 1


def test_the_clock_calls_everyone_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(cpu, "PAUSE", 0)
    calls = []
    timings = cpu.times([lambda: calls.append("a"), lambda: calls.append("b")], repeats=10, seconds=1.0)
    assert calls.count("a") == calls.count("b") == 3 + 5 * (1 + 2)  # warm up; a turn: untimed, then timed
    assert all(timing.fastest <= timing.median for timing in timings)
    assert "".join(calls[6:]) == 5 * "aaabbb"


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_multiply_adds_really_run(dtype):
    from profiling.device.multiply_adds import CHAINS, fused_multiply_adds, register_bits

    compute, flops = fused_multiply_adds(dtype)
    assert flops == 2 * CHAINS * register_bits() // (8 * dtype.itemsize)
    once = sum(0.75 * (1.0 + index) + 0.5 for index in range(CHAINS))
    assert compute(1) == once
    assert compute(1000) == pytest.approx(2.0 * CHAINS)  # each chain's fixed point


HEAD = {"device": "a device", "driver": None, "date": "a day", "commit": None, "others_pct": 0.0}


@pytest.fixture
def plots():
    pytest.importorskip("matplotlib")
    from profiling.bench import plots

    return plots


@pytest.mark.parametrize("others_pct", [0.0, 50.0])
def test_a_plot_is_drawn(plots, tmp_path, others_pct):
    path = tmp_path / "plot.png"
    lines = [line(1.0, 4.0), line(2.0, 1.0, selected=False), line(1.0, None), line(1.0, 8.0) | {"threads": 2}]
    plots.speeds(path, HEAD | {"others_pct": others_pct}, lines)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_headline_begins_with_one_thread_and_leaves_out_what_others_spoilt(plots):
    lines = [line(1.0, 23.0) | {"threads": 2}, line(1.0, 2.0), line(1.0, 200.0, selected=False)]
    assert plots.headline(lines, 1.0) == "1 thread: torch 2x\n2 threads: torch 23x"
    assert plots.headline(lines, 4.0) == "1 thread: torch 2x\n2 threads: left out"
    assert plots.headline(lines, 71.0) == "1 thread: left out\n2 threads: left out"
    assert plots.headline([line(1.0, 3.0) | {"threads": None}], 71.0) == "torch 3x"  # a GPU
    assert plots.spoilt([1, 2], 71.0).endswith("on 1 thread and 2 threads (crosses) does not count")
    assert plots.spoilt([1, 2], 1.0) == "; others took 1 % of the machine"


def test_the_legend_names_every_dot(plots):
    def labels(*arguments):
        return [handle.get_label() for handle in plots.legend(*arguments)]

    every = labels([1, 2], {"torch": "red"}, True)
    assert every == ["beside torch", "1 thread", "2 threads", "pale: not what a call selects"]
    assert labels([1], {"torch": "red"}, False) == ["beside torch"]
    (*_, pale) = plots.legend([1, 2], {"torch": "red"}, True)
    assert pale.get_alpha() == plots.PALE


def test_a_summary_leaves_out_what_others_spoilt(capsys):
    report.print_report([line(1.0, 2.0), line(1.0, 23.0) | {"threads": 2}], 4.0)
    shown = " ".join(capsys.readouterr().out.split("Summary")[1].split())
    assert shown.endswith("The summary of 2 threads is left out: others took 4 % of the machine")
    assert " 2 " in shown and "23" not in shown


@pytest.mark.parametrize(("threads", "named"), [([1, 2], "1 and 2 threads"), ([1], "1 thread")])
def test_a_summary_of_nothing_is_a_sentence_without_a_table(capsys, threads, named):
    report.print_report([line(1.0, 2.0) | {"threads": count} for count in threads], 72.0)
    printed = capsys.readouterr().out
    assert printed.endswith(f"The summary of {named} is left out: others took 72 % of the machine\n")
    assert "geomean" not in printed


def test_there_is_no_summary_without_a_peer(capsys):
    report.print_report([line(1.0, None)], 0.0)
    assert "ummary" not in capsys.readouterr().out


def test_the_help_says_what_holds_without_a_precision_and_where_files_go(capsys):
    with pytest.raises(SystemExit):
        command.parse(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "unless given, that of a call without precision=, which allows Winograd's in layers of" in printed
    assert f"layers of {NETWORK_CHANNELS} channels and more" in printed
    assert f"the plot, {FOLDER}".replace(" ", "") in printed.replace(" ", "")


def test_the_import_is_measured_in_fresh_processes(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "IMPORT_REPEATS", 1)
    monkeypatch.setattr(command, "IMPORTED", ("gpuconv", "numpy"))
    status, result = run(tmp_path, "--import-time")
    (row,) = result["rows"]
    assert status == 0 and row.keys() >= REQUIRED
    assert row["peer"] == "numpy" and row["ms"] > 0


@pytest.mark.wide  # seconds
def test_problems_drawn_at_random(ready, tmp_path):
    status, result = run(tmp_path, "--random", "3", "--seed", "5")
    assert status == 0 and result["layers"] == [3, 3]
    assert {row["workload"] for row in result["rows"]} == {"random"}
    assert all(row["selected"] or row["ieee"] for row in result["rows"])
    assert [*tmp_path.glob("cpu-random-3-seed-5-*.json")]


@pytest.mark.parametrize("others", [["--quick"], ["--workload", "lenet5"], ["--random", "0"]])
def test_random_problems_are_a_run_of_their_own(others, capsys):
    with pytest.raises(SystemExit):
        command.parse(["--random", "3", *others])
    assert "--random" in capsys.readouterr().err


def test_random_problems_are_summed_up_by_percentiles():
    """Of 100 ratios from 0.1 to 10: what falls short is told, not hidden in a mean."""
    lines = [
        line(1.0, (number + 1) / 10) | {"workload": "random", "layer": str(number)} for number in range(100)
    ]
    (spread,) = report.spread(lines)
    assert spread == {
        "threads": 1, "peer": "torch", "layers": 100, "worst": 0.1, "5 %": 0.595, "median": 5.05, "slower": 9,
        "worst layers": ["0", "1", "2", "3", "4"],
    }  # fmt: skip
