"""The report of `profiling.kernels`: what it says of our kernels, and that it reads it correctly.

What is said of kernels for float16 holds for bfloat16, whose numbers are converted otherwise: not measured.
"""

import json
import math

import numpy as np
import pytest

from gpuconv.cuda import conv, pool
from gpuconv.cuda.conv import depthwise_window
from gpuconv.cuda.conv.depthwise_window import load as window_fill
from gpuconv.spec import ConvSpec, PoolSpec
from profiling.counts import execution, kernels, problems
from profiling.counts.occupancy import blocks_per_sm, of_arch
from profiling.results import versions
from tests import ptx
from tests.ptx import machine_code
from tests.ptx.machine_code import disassembly

pytestmark = pytest.mark.wide  # minutes of the executor

# Not counted: gradients of pools, patches and samples, minima, norms and adaptive pools, which no problem is
# of, and the same sources for another dtype.
ALIKE = "bfloat16", "conv_tiled float16", "conv_tiled complex", "conv_tiled int8", "conv_tiled uint8"
SIMPLE = "conv_mirror", "conv_epilogue", "conv_pack_", "pool_norms"  # a thread for each element, or a copy
OTHERS = " adaptive", " min", " int", " uint"
KERNELS = [
    kernel
    for kernel in (*conv.KERNELS, *pool.KERNELS)
    if not any(name in kernel.name for name in (*ALIKE, *SIMPLE, *OTHERS))
]
NAMES = [kernel.name for kernel in KERNELS]
BY_NAME = {kernel.name: kernel for kernel in KERNELS}
WINDOWS = {kernel.name for kernel in depthwise_window.KERNELS}


# Our kernels


@pytest.fixture(scope="module")
def measured(request):
    """What the executor counts for each kernel that is tested now, on every problem that reaches it."""
    tests = [item for item in request.session.items if item.path == request.path]
    wanted = {test.callspec.params.get("name") for test in tests if hasattr(test, "callspec")}
    found = {}
    for each in execution.measure("sm_90a", {*wanted, "conv_tiled float32 32x256"}.__contains__):
        found.setdefault(each.launch.kernel.name, []).append(each)
    return found


def each_kernel():
    """Disassembly takes seconds, and pools of float64 are those of float32 with wider registers: slow."""
    for kernel in KERNELS:
        marks = pytest.mark.slow if kernel.name.startswith("pool") and "float64" in kernel.name else ()
        yield pytest.param(kernel, id=kernel.name, marks=marks)


@pytest.mark.parametrize("arch", [pytest.param("sm_80", marks=pytest.mark.slow), "sm_90a"])
@pytest.mark.parametrize("kernel", list(each_kernel()))
def test_the_main_loop_computes_in_registers(kernel, arch):
    row = machine_code.of(kernel, arch)
    assert (row["spill_bytes"], row["local_bytes"]) == (0, 0)
    roots = {name.split(".")[0] for name in row["loop_mix"]}
    assert not roots & {"LDL", "STL"}
    if kernel.name.startswith("conv"):
        assert roots & {"FFMA", "FFMA2", "DFMA", "HMMA", "HGMMA", "DMMA", "IMMA", "IGMMA"}
    else:
        assert roots & {"FADD", "DADD", "FSETP", "DSETP", "FMNMX", "DMNMX"}
    assert row["loop_instructions"] == sum(row["loop_mix"].values()) > 0
    assert 0 < row["loop_math_pct"] < 100


@pytest.mark.parametrize("name", NAMES)
def test_every_kernel_is_reached_by_a_problem(measured, name):
    assert name in measured


@pytest.mark.parametrize("name", NAMES)
def test_main_loops_have_no_bank_conflicts(measured, name):
    # One window of a plane is left to pool_global, and meets conflicts in pool_separable.
    found = [each for each in measured[name] if "separable" not in name or each.spec.P * each.spec.Q > 1]
    degrees = {each.counts["loop_bank_conflict_degree"] for each in found}
    in_registers = (
        name.startswith(("conv_depthwise", "pool", "sum_splits")) and name not in WINDOWS
    )  # or None
    assert 1.0 in degrees or in_registers
    assert degrees <= {1.0, None}
    for each in found:
        # Outside of it, weights and the columns of strided inputs are put down with some.
        most = 1.1 if each.spec.stride[1] == 1 else 1.6
        assert (each.counts["bank_conflict_degree"] or 1) < most


@pytest.mark.parametrize("name", NAMES)
def test_stores_are_coalesced(measured, name):
    for each in measured[name]:
        assert each.counts["store_sectors"] == each.counts["store_sectors_ideal"]


@pytest.mark.parametrize("name", NAMES)
def test_loads_are_coalesced(measured, name):
    """A row that begins within a sector costs one more; what a stride leaves out is fetched all the same.

    The lanes of `conv_winograd` lie along tiles of two columns, those of `pool_direct` along outputs of two
    rows, which 16 bits put into one sector each.
    """
    several = "separable" in name or name.startswith("pool_direct float16")
    rows = window_fill.ROWS if name in WINDOWS else 2 if several else 1  # of a request
    for each in measured[name]:
        counts, step = each.counts, 2 if name == "conv_winograd" else each.spec.stride[1]
        assert 0 < counts["load_sectors"] <= step * counts["load_sectors_ideal"] + rows


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("wide")])
def test_vectors_are_loaded_in_whole_sectors(measured, name):
    for each in measured[name]:
        if each.spec.W * each.spec.itemsize % 32 and "separable" in name:
            continue  # rows that begin within a sector
        assert each.counts["load_sectors"] <= 1.1 * each.counts["load_sectors_ideal"]


def test_conv_tiled_stores_its_weights_with_conflicts(measured):
    """The one exception, measured: a pitch of 36 words leaves 8 banks for the 32 lanes of a store."""
    each = measured["conv_tiled float32 32x256"][0]
    lines = [
        line for line in each.report.lines
        if line.traffic and line.traffic.space == "shared" and line.traffic.wavefronts > line.traffic.phases
    ]  # fmt: skip
    assert lines and all(line.opcode.startswith("st.shared") for line in lines)
    assert max(line.traffic.wavefronts / line.traffic.phases for line in lines) == 4
    assert not each.loop_lines & {line.line for line in lines}


def test_the_blocks_that_the_kernels_were_bounded_for_fit(measured):
    for name, group in measured.items():
        row = machine_code.resources(BY_NAME[name].cubin("sm_90a").log)
        for each in group:
            shared = row["static_shared_bytes"] + each.launch.shared_bytes
            resident = blocks_per_sm(of_arch("sm_90a"), BY_NAME[name].threads, row["registers"], shared)
            assert resident >= BY_NAME[name].blocks_per_sm


def test_the_loop_of_the_ptx_is_the_loop_of_the_machine_code(measured):
    each = measured["conv_tiled float32 32x256"][0]
    opcodes = [line.opcode for line in each.report.lines if line.line in each.loop_lines]
    mix = machine_code.of(BY_NAME["conv_tiled float32 32x256"], "sm_90a")["loop_mix"]
    assert opcodes.count("fma.rn.f32") == mix["FFMA"] == 32


# The command


def test_the_command_writes_one_row_a_problem(tmp_path, capsys, monkeypatch):
    out = tmp_path / "kernels.json"
    wanted = "pool_direct float32 mean"
    assert kernels.main(["--arch", "sm_80", "--kernel", wanted, "--jobs", "0", "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    means = [spec for spec in problems.PROBLEMS if type(spec) is PoolSpec and spec.reduction == "mean"]
    assert [(row["kernel"], row["arch"]) for row in written["rows"]] == [(wanted, "sm_80")] * len(means)
    assert {
        "registers", "spill_bytes", "local_bytes", "shared_bytes", "blocks_per_sm", "loop_instructions",
        "loop_math_pct", "sectors_per_request", "bank_conflict_degree",
    } < set(written["rows"][0])  # fmt: skip
    assert {"date", "commit"} < set(written) and written["kernels"] == [1, 1]
    assert written["packages"]["nvidia-nvjitlink"] and versions("no-such") == {"no-such": None}
    printed = capsys.readouterr().out
    assert wanted in printed and "mean 2x2 4 @64 /2" in printed


def test_a_kernel_that_no_problem_reaches_has_a_row_too(monkeypatch):
    monkeypatch.setattr(execution, "PROBLEMS", ())
    (row,) = kernels.rows(("pool_direct float32 max", "sm_80"))
    assert row["problem"] is None and row["registers"] > 0 and row["blocks_per_sm"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kernel", "no_such"], "no kernel 'no_such'; there are conv_"),
        (["--arch", "sm_60"], "sm_60"),
    ],
)
def test_what_is_not_there_is_named(arguments, message, capsys):
    with pytest.raises(SystemExit):
        kernels.main(arguments)
    assert message in capsys.readouterr().err


def test_a_missing_disassembler_is_named_with_its_pip_command(monkeypatch, capsys):
    disassembly.nvdisasm.cache_clear()
    monkeypatch.setattr(disassembly, "find_nvidia_binary_utility", lambda name: None)
    monkeypatch.setattr(execution, "PROBLEMS", ())
    with pytest.raises(SystemExit):
        kernels.main(["--arch", "sm_80", "--kernel", "argmax", "--jobs", "0"])
    assert "pip install nvidia-cuda-nvdisasm==" in capsys.readouterr().err


# The problems


def test_the_problems_are_aligned_and_reach_both_kinds():
    for spec in problems.PROBLEMS:
        assert spec.Q % 16 == 0 or spec.P * spec.Q == 1
        assert spec.W % 16 == 0 or type(spec) is PoolSpec
    assert {type(spec) is ConvSpec for spec in problems.PROBLEMS} == {True, False}


def test_counts_of_a_kernel_that_is_known():
    """Each thread reads 4 bytes 8 bytes apart, puts them in shared memory 8 bytes apart, and writes 4."""
    text = """
    .version 8.0 .target sm_90 .address_size 64
    .visible .entry copy(.param .u64 x, .param .u64 y) {
      .reg .b32 %r<4>; .reg .b64 %d<6>; .reg .f32 %f<2>; .shared .align 4 .b8 tile[256];
      ld.param.u64 %d0, [x]; ld.param.u64 %d1, [y];
      mov.u32 %r0, %tid.x; mul.wide.u32 %d2, %r0, 8; add.u64 %d3, %d0, %d2;
      ld.global.f32 %f0, [%d3];
      mov.u32 %r1, tile; shl.b32 %r2, %r0, 3; add.u32 %r3, %r1, %r2;
      st.shared.f32 [%r3], %f0;
      mul.wide.u32 %d4, %r0, 4; add.u64 %d5, %d1, %d4;
      st.global.f32 [%d5], %f0;
      ret; }"""
    x, y = (np.zeros(size, "float32") for size in (64, 32))
    report = ptx.Kernel(text).launch(1, 32, x, y, count_memory=True)
    counts = execution.Measured(problems.PROBLEMS[0], None, report, frozenset()).counts
    assert (counts["load_sectors"], counts["load_sectors_ideal"]) == (8, 4)
    assert (counts["store_sectors"], counts["store_sectors_ideal"]) == (4, 4)
    assert counts["sectors_per_request"] == 6
    assert counts["bank_conflict_degree"] == 2 and counts["loop_bank_conflict_degree"] is None


def test_ratios_of_nothing_are_none():
    assert execution._ratio([]) is None
    assert math.isclose(execution._ratio([(1, 2), (3, 2)]), 1.0)
