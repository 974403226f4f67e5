"""The kernel of the GPU's peak computes what it says, links for every architecture, and needs no compiler."""

import ast
from pathlib import Path

import numpy as np
import pytest

core = pytest.importorskip("cuda.core")

import profiling.device  # noqa: E402
from gpuconv.spec.dtypes import FLOATS  # noqa: E402
from profiling.device import multiply_adds_ptx  # noqa: E402
from profiling.device.multiply_adds_ptx import CHAINS, UNROLLED  # noqa: E402
from tests import ptx  # noqa: E402


@pytest.mark.parametrize("dtype", FLOATS)
def test_each_thread_stores_the_sum_of_its_chains(dtype):
    factor, summand, steps = 0.75, 0.5, 2
    out = np.full(64, np.nan, dtype.numpy)
    scalars = dtype.numpy.type(factor), dtype.numpy.type(summand), np.uint32(steps)
    ptx.Kernel(multiply_adds_ptx.text(dtype)).launch(2, 32, ptx.out(out), *scalars)
    chains = factor + summand * np.arange(CHAINS)
    for _ in range(steps * UNROLLED):
        chains = chains * factor + summand
    np.testing.assert_allclose(out, chains.sum(), rtol=8 * np.finfo(dtype.numpy).eps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("arch", ["sm_75", "sm_90", "sm_120"])
def test_it_is_multiply_adds_alone_that_are_counted(dtype, arch):
    text = multiply_adds_ptx.text(dtype)
    loop = text.split("again:")[1].split("bra")[0]
    assert loop.count("fma.rn") == CHAINS * UNROLLED
    assert loop.count(";") == CHAINS * UNROLLED + 2  # the counter and its comparison
    options = core.LinkerOptions(arch=arch)
    assert core.Linker(core.ObjectCode.from_ptx(text.encode()), options=options).link("cubin").code


def test_measuring_on_a_gpu_imports_no_compiler():
    source = (Path(profiling.device.__file__).parent / "cuda.py").read_text(encoding="utf-8")
    imported = {
        name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
        )
    }
    assert "cupy" in imported and not {
        name for name in imported if name.split(".")[0] in ("numba", "llvmlite")
    }
    assert "RawKernel" not in source and "jit(" not in source
