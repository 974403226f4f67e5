"""Bytes multiplied four at a time: exact in int32, where the processor can; elsewhere it says so."""

import itertools
import platform
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gpuconv
from gpuconv import cpu
from gpuconv.commands.compile_cpu import jobs_of, label_of
from gpuconv.cpu.conv import quads
from gpuconv.cpu.simd import QUADS
from tests.cases import CONV_CASES, TRANSPOSED_CASES, ConvCase
from tests.cpu.conv.test_integers import EXTREME, MIXES, arrays_of, compute, over_mixes, wrapped
from tests.layouts import READABLE, WRITABLE
from tests.taken import reason
from tests.test_conv2d import geometries

on_such_a_processor = pytest.mark.skipif(not QUADS, reason="a processor with AVX512-VNNI is needed")

CASES = [
    *CONV_CASES,
    ConvCase("one output", (1, 8, 1, 1), (1, 8, 1, 1)),
    ConvCase("one tap short of a quad", (2, 3, 30, 31), (5, 3, 7, 7), 2, 3, bias=True),
    ConvCase("columns two apart", (1, 5, 20, 150), (17, 5, 3, 3), 2, ((1, 2), (0, 3)), bias=True),
    ConvCase("columns three apart", (1, 5, 20, 150), (17, 5, 3, 3), 3, 1),
    ConvCase("deeper than a block", (2, 301, 9, 9), (40, 301, 3, 2), padding=2, dilation=2, bias=True),
    ConvCase("1x1, deeper than a block", (3, 1158, 7, 7), (9, 1158, 1, 1), bias=True),
    ConvCase("groups of odd channels", (2, 21, 12, 13), (9, 7, 3, 3), padding=1, groups=3, bias=True),
    ConvCase("images of a panel and one", (9, 6, 7, 7), (33, 6, 1, 1), bias=True),
    ConvCase("images of a panel", (9, 6, 6, 8), (33, 6, 1, 1), bias=True),
    ConvCase("panels in one image", (2, 6, 16, 33), (33, 6, 1, 1), bias=True),
]


@on_such_a_processor
@pytest.mark.parametrize("case", CASES, ids=str)
@over_mixes
def test_every_case_is_exact(case, input, weight):
    arrays = arrays_of(case, input, weight)
    why = reason(gpuconv.conv2d, "conv_quads", arrays, **case.parameters)
    if why is not None:
        assert 0 in case.w and why == "there are no input channels"
        return
    y = compute(case, *arrays, algorithm="conv_quads")
    np.testing.assert_array_equal(y, wrapped(case, *arrays), strict=True)


@on_such_a_processor
@pytest.mark.parametrize("case", TRANSPOSED_CASES, ids=str)
@over_mixes
def test_gradients_by_the_input_are_exact_phase_by_phase(case, input, weight):
    arrays = arrays_of(case, input, weight)
    why = reason(gpuconv.conv_transpose2d, "conv_quads_by_phases", arrays, **case.parameters)
    if why is not None:
        assert 0 in case.x and why == "there are no input channels"
        return
    y = compute(case, *arrays, algorithm="conv_quads_by_phases")
    np.testing.assert_array_equal(y, wrapped(case, *arrays), strict=True)


@on_such_a_processor
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    geometries(), st.sampled_from(MIXES), st.sampled_from([0, 1 << 12, 1 << 15, 1 << 26]), st.integers(1, 3),
    st.sampled_from([4, 60, quads.BLOCK]), st.data(),
)  # fmt: skip
def test_any_geometry_in_any_layout(limit_workspace, threads, case, mix, limit, count, block, data):
    """Within the workspace's limit, or refused; in blocks of a few rows, too."""
    arrays = arrays_of(case, *mix)
    expected = wrapped(case, *arrays)
    readable = st.sampled_from(sorted(READABLE))
    laid = [None if array is None else READABLE[data.draw(readable)](array) for array in arrays]
    out = WRITABLE[data.draw(st.sampled_from(sorted(WRITABLE)))](np.full(expected.shape, -77, np.int32))
    limit_workspace(limit)
    threads(count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quads, "BLOCK", block)
        patch.setattr(quads, "blocking", quads.blocking.__wrapped__)
        patch.setattr(gpuconv.call, "_known", {})
        why = reason(gpuconv.conv2d, "conv_quads", laid, **case.parameters)
        name = None if why else "conv_quads"
        assert why is None or case.w[1] == 0 or "more than the limit" in why
        assert compute(case, *laid, out=out, algorithm=name) is out
    np.testing.assert_array_equal(out, expected)


@on_such_a_processor
@over_mixes
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("C", [519, 520])
def test_the_largest_products_are_added_up_without_a_limit(C, groups, input, weight):
    """Four products of one lane do not fit into 16 bits; borders count as zeros beside them."""
    for a, b in itertools.product((*EXTREME[input], 0), (*EXTREME[weight], 0)):
        x, w = np.full((1, groups * C, 5, 5), a, input), np.full((2 * groups, C, 3, 3), b, weight)
        y = gpuconv.conv2d(x, w, padding=1, groups=groups, algorithm="conv_quads")
        seen = np.array([2, 3, 3, 3, 2])
        assert (y == C * a * b * np.outer(seen, seen)).all()


@on_such_a_processor
def test_what_is_beyond_int32_is_left_modulo_2_to_the_32():
    for kind, value in (("uint8", 255), ("int8", -128)):
        x = np.full((1, 140000, 1, 1), value, kind)
        total = 140000 * value * value
        assert total > 2**31
        bias = np.array([2**31 - 1], np.int32)
        y = gpuconv.conv2d(x, x, bias, algorithm="conv_quads").item()
        assert y == (total + 2**31 - 1 + 2**31) % 2**32 - 2**31


@on_such_a_processor
def test_what_it_is_chosen_for():
    def chosen(C, K, size, R, groups=1):
        x, w = np.zeros((8, C, size, size), np.uint8), np.zeros((K, C // groups, R, R), np.int8)
        return gpuconv.explain(gpuconv.conv2d, x, w, padding=R // 2, groups=groups)[0]

    for problem in [(64, 256, 56, 1), (64, 64, 56, 3), (512, 512, 7, 3), (3, 64, 224, 7), (64, 64, 56, 3, 4)]:
        name, verdict = chosen(*problem)
        assert name == "conv_quads" and verdict.endswith("; exact in int32, four bytes at a time")
    dy, w = np.zeros((8, 64, 28, 28), np.int8), np.zeros((64, 64, 3, 3), np.uint8)
    name, verdict = gpuconv.explain(gpuconv.conv_transpose2d, dy, w, stride=2)[0]
    assert name == "conv_quads_by_phases" and "four bytes at a time; 4 convolutions at stride 1" in verdict
    for problem in [(144, 144, 56, 3, 144), (32, 8, 112, 5), (64, 64, 28, 3, 16)]:
        assert chosen(*problem)[0] == "conv_integers"


@on_such_a_processor
def test_an_array_as_it_lies_in_another_is_read_and_written_where_it_is(limit_workspace):
    case = ConvCase("view", (2, 12, 14, 60), (20, 12, 3, 3), stride=(1, 2), padding=1, bias=True)
    arrays = arrays_of(case, "int8", "int8")
    expected = wrapped(case, *arrays)
    for name in sorted(WRITABLE):
        out = WRITABLE[name](np.zeros(expected.shape, np.int32))
        compute(case, READABLE[name](arrays[0]), *arrays[1:], out=out, algorithm="conv_quads")
        np.testing.assert_array_equal(out, expected)
    limit_workspace(1000)
    assert "more than the limit of 1000" in reason(gpuconv.conv2d, "conv_quads", arrays, **case.parameters)


GUARDED = """
import numpy as np
from dataclasses import replace
from gpuconv import cpu
from gpuconv.algorithm import refusal
from gpuconv.cpu.engine.processor import Processor
from gpuconv.spec.layouts import ConvLayouts
from tests.cpu.conv.test_integers import MIXES, arrays_of, wrapped
from tests.cpu.conv.test_quads import CASES
from tests.cpu.problems import layout
from tests.guarded import after_guard, before_guard
(algorithm,) = (each for each in cpu.ALGORITHMS["conv"] if each.name == "conv_quads")
count = 0
for case in CASES:
    for mix in MIXES:
        x, w, bias = arrays_of(case, *mix)
        expected = wrapped(case, x, w, bias)
        bias = np.zeros(len(w), np.int32) if bias is None else bias
        spec = replace(case.spec(mix[0]), weight_dtype=mix[1])
        for place in (before_guard, after_guard):
            y = place(np.full(expected.shape, -77, np.int32))
            arrays = place(x), place(w), place(bias), y
            problem = spec, ConvLayouts(*map(layout, arrays)), Processor(1)
            if 0 not in expected.shape and refusal(algorithm, *problem) is None:
                algorithm.plan(*problem)(*arrays)
                assert np.array_equal(y, expected), (case, mix)
                count += 1
print(count)
"""


@on_such_a_processor
@pytest.mark.skipif(sys.platform == "win32", reason="mmap and mprotect are POSIX")
def test_nothing_beyond_the_arrays_is_touched(fresh_python):
    assert int(fresh_python(GUARDED, timeout=300)) > 100


WITHOUT = """
import numpy as np, gpuconv
from gpuconv.commands.compile_cpu import jobs_of, label_of
from gpuconv.cpu.simd import QUADS
x, w = np.full((2, 8, 6, 6), 255, np.uint8), np.full((32, 8, 1, 1), -128, np.int8)
assert (gpuconv.conv2d(x, w) == 8 * 255 * -128).all()
verdicts = dict(gpuconv.explain(gpuconv.conv2d, x, w))
assert not QUADS and not [label for label in map(label_of, jobs_of()) if "quads" in label]
assert verdicts["conv_integers"].startswith("selected")
print(verdicts["conv_quads"])
"""


@pytest.mark.wide  # seconds of the compiler
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="an x86-64 processor is needed")
def test_without_the_instruction_it_says_so_and_nothing_is_compiled_for_it(fresh_python):
    plain = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"}
    said = "unsupported: the processor, or what Numba may use of it, has no AVX512-VNNI"
    assert fresh_python(WITHOUT, **plain) == said


def test_kernels_are_compiled_where_they_can_run():
    assert {kernel.dtypes for kernel in quads.KERNELS} == {("int32",) if QUADS else ()}
    labels = [label for label in map(label_of, jobs_of()) if "quads" in label]
    assert labels == (
        ["conv_quads.multiply_quads int32", "conv_quads_weights.prepare_weights int32"] if QUADS else []
    )
    assert set(quads.KERNELS) < set(cpu.KERNELS)
