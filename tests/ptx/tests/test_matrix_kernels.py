"""Matrix products compiled by Numba run as NumPy does, and faults planted in them are caught."""

from __future__ import annotations

import functools
import inspect
import textwrap

import numpy as np
import pytest

from tests import ptx
from tests.sampling import few

from . import matrix_kernels
from .matrix_kernels import warp_product_bf16, warp_product_tf32, warpgroup_product

cuda = pytest.importorskip("numba.cuda")
from numba import float32, uint16, uint32, void  # noqa: E402

F2, H2, U2 = float32[:, ::1], uint16[:, ::1], uint32[:, ::1]
SIGNATURES = {
    "warp_product_tf32": void(F2, F2, F2),
    "warp_product_bf16": void(H2, H2, F2),
    "warpgroup_product": void(U2, U2, F2),
}
AMPERE, HOPPER = (8, 0), (9, 0, "a")
STAGES = 3 * 20480


@functools.cache
def compiled(function, architecture) -> str:
    signature = SIGNATURES[function.__name__]
    return cuda.compile(function, signature, device=False, abi="numba", cc=architecture)[0]


def source_changed(function, *changes: tuple[str, str]):
    """The kernel with its source changed; each change must change something."""
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    scope = dict(vars(matrix_kernels))
    exec(source, scope)
    return scope[function.__name__]


def bfloat16(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def product(function, text: str, shared_bytes: int = STAGES) -> tuple[np.ndarray, np.ndarray, ptx.Report]:
    """(Result, expected result, report) of a kernel's PTX on small integers."""
    rng = np.random.default_rng(11)
    if function.__name__ == "warpgroup_product":
        a, b = rng.integers(-8, 8, (128, 320)), rng.integers(-8, 8, (64, 320))
        expected, grid, block = a @ b.T, (2, 1), 256
        operands = bfloat16(a).view(np.uint32), bfloat16(b).view(np.uint32)
    else:
        a, b = rng.integers(-8, 8, (32, 48)), rng.integers(-8, 8, (48, 32))
        expected, grid, block, shared_bytes = a @ b, (2, 2), 64, 0
        kind = bfloat16 if function.__name__ == "warp_product_bf16" else np.float32
        operands = kind(a), kind(b)
    c = np.empty(expected.shape, np.float32)
    arrays = [ptx.numba_array(array) for array in (*operands, ptx.out(c))]
    report = ptx.Kernel(text).launch(grid, block, *arrays, shared_bytes=shared_bytes, count_memory=True)
    return c, expected, report


@pytest.mark.parametrize(
    ("function", "architecture"),
    [
        (warp_product_tf32, AMPERE),
        (warp_product_tf32, HOPPER),
        (warp_product_bf16, AMPERE),
        (warp_product_bf16, HOPPER),
        (warpgroup_product, HOPPER),
    ],
)
def test_products(function, architecture):
    result, expected, report = product(function, compiled(function, architecture))
    np.testing.assert_array_equal(result, expected)
    assert report.instructions["matrix"] > 0 and report.divergent_branches == 0


def test_swizzle_avoids_bank_conflicts():
    _, _, report = product(warpgroup_product, compiled(warpgroup_product, HOPPER))
    assert report.bank_conflict_degree == 1
    plain = source_changed(warpgroup_product, ("chunk ^ (line & uint32(7))", "chunk * uint32(8) % uint32(8)"))
    text = cuda.compile(plain, SIGNATURES["warpgroup_product"], device=False, abi="numba", cc=HOPPER)[0]
    with pytest.raises(ptx.RaceError):  # all chunks of a line in one place
        product(warpgroup_product, text)


def without(piece: str, number: int):
    """Remove the occurrence `number` of a piece of text."""

    def change(text: str) -> str:
        parts = text.split(piece)
        assert len(parts) > number
        return piece.join(parts[:number]) + piece.join(["", *parts[number:]])[len(piece) :]

    return change


def replaced(old: str, new: str):
    return lambda text: text.replace(old, new)


BARRIER = "bar.sync \t0;"


@pytest.mark.parametrize(
    ("function", "change", "error", "match"),
    [
        (warp_product_tf32, without(BARRIER, 1), ptx.RaceError, "shared memory"),
        (warp_product_tf32, without(BARRIER, 2), ptx.RaceError, "shared memory"),
        (
            warp_product_tf32,
            replaced("m16n8k8.row.col", "m16n8k8.row.row"),
            ptx.UnknownInstructionError,
            "product",
        ),
        (warp_product_bf16, without(BARRIER, 1), ptx.RaceError, "shared memory"),
        (warp_product_bf16, without(BARRIER, 2), ptx.RaceError, "shared memory"),
        (warp_product_bf16, replaced("bar.sync \t0", "bar.warp.sync -1"), ptx.RaceError, "shared memory"),
        (warpgroup_product, without(BARRIER, 1), ptx.RaceError, "shared memory"),
        (warpgroup_product, replaced("fence.proxy.async.shared::cta;", ""), ptx.AsynchronousError, "proxy"),
        (warpgroup_product, replaced("wgmma.fence.sync.aligned;", ""), ptx.AsynchronousError, "wgmma.fence"),
        (
            warpgroup_product,
            replaced("wait_group.sync.aligned 1", "wait_group.sync.aligned 2"),
            (ptx.AsynchronousError, ptx.RaceError),
            "read",
        ),
        (
            warpgroup_product,
            replaced("wgmma.wait_group.sync.aligned 0;", ""),
            ptx.AsynchronousError,
            "in use",
        ),
        (
            warpgroup_product,
            replaced("wgmma.commit_group.sync.aligned;", ""),
            ptx.AsynchronousError,
            "still being read",
        ),
    ],
)
def test_faults_in_the_text(function, change, error, match):
    text = compiled(function, HOPPER)
    changed = change(text)
    assert changed != text
    with pytest.raises(error, match=match) as fault:
        product(function, changed)
    assert fault.value.line is not None


@pytest.mark.parametrize("piece", [".trans", ", 1, 1, 0, 0;"])
def test_wrong_results_of_changes_in_the_text(piece):
    function = warp_product_bf16 if piece == ".trans" else warpgroup_product
    text = compiled(function, HOPPER)
    changed = text.replace(piece, "" if piece == ".trans" else ", -1, 1, 0, 0;")
    assert changed != text
    result, expected, _ = product(function, changed)
    assert (result != expected).any()


@pytest.mark.parametrize(
    ("function", "change"),
    few(
        [
            (warp_product_tf32, ("tile_a[group, place + 4]", "tile_a[group + 8, place + 4]")),
            (warp_product_tf32, ("tile_a[group, place]", "tile_a[place, group]")),
            (warp_product_tf32, ("tile_b[place, warp * 8 + group]", "tile_b[group, warp * 8 + place]")),
            (warp_product_tf32, ("row + group + half * 8", "row + group + 8 - half * 8")),
            (warp_product_bf16, ("a0, a1, a2, a3 =", "a0, a2, a1, a3 =")),
            (warp_product_bf16, ("b0, b1 =", "b1, b0 =")),
            (warpgroup_product, ("chunk ^ (line & uint32(7))", "chunk ^ (line & uint32(3))")),
            (warpgroup_product, ("uint64(1) << uint64(62)", "uint64(2) << uint64(62)")),
            (warpgroup_product, ("from_b += uint64(2)", "from_b += uint64(0)")),
        ],
        2,
    ),
)
def test_wrong_results_of_changes_in_the_source(function, change):
    """A fragment transposed, a layout that does not fit: nothing is undefined, so NumPy has to tell."""
    result, expected, _ = product(function, compiled_change(function, change))
    assert (result != expected).any()


def compiled_change(function, *changes) -> str:
    changed = source_changed(function, *changes)
    return cuda.compile(changed, SIGNATURES[function.__name__], device=False, abi="numba", cc=HOPPER)[0]


@pytest.mark.parametrize(
    ("function", "change", "error"),
    few(
        [
            (warp_product_bf16, ("lane % 16 * 32", "(lane % 16 + 1) * 32"), ptx.OutOfBoundsError),
            (warp_product_bf16, ("warp * 16)", "warp * 8)"), ptx.MisalignedError),
            (warp_product_bf16, ("range(thread, 256, 64)", "range(thread, 255, 64)"), ptx.UninitialisedError),
            (warp_product_tf32, ("range(thread, 128, 64)", "range(thread, 64, 64)"), ptx.UninitialisedError),
            (
                warpgroup_product,
                ("range(thread, 1280, 256)", "range(thread, 1279, 256)"),
                ptx.UninitialisedError,
            ),
            (
                warpgroup_product,
                ("uint64(64) << uint64(32)", "uint64(512) << uint64(32)"),
                ptx.OutOfBoundsError,
            ),
            (warpgroup_product, ("from_a += uint64(2)", "from_a += uint64(3)"), ptx.MisalignedError),
            (warpgroup_product, ("lane // 32 * 16 + lane % 32 // 4", "lane // 4"), ptx.RaceError),
            (warpgroup_product, ("stage += uint32(20480)", "stage += uint32(20352)"), ptx.PtxError),
            (warpgroup_product, ("uint32(61440)", "uint32(40960)"), (ptx.AsynchronousError, ptx.RaceError)),
        ],
        2,
    ),
)
def test_faults_in_the_source(function, change, error):
    with pytest.raises(error):
        product(function, compiled_change(function, change))


def test_too_little_shared_memory():
    with pytest.raises(ptx.OutOfBoundsError):
        product(warpgroup_product, compiled(warpgroup_product, HOPPER), shared_bytes=STAGES - 16)
