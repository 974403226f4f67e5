"""`import gpuconv` needs no torch; `gpuconv.torch` says so where it is missing."""

import re

import pytest

from tests.conftest import ROOT


def test_gpuconv_does_not_import_torch(fresh_python):
    assert fresh_python("import sys, gpuconv; print('torch' in sys.modules)") == "False"


def test_a_missing_torch_is_named(fresh_python):
    code = """
import sys
sys.modules["torch"] = None
try:
    import gpuconv.torch
except ImportError as error:
    print(error)
"""
    assert fresh_python(code) == "gpuconv.torch needs PyTorch: pip install torch"


def test_it_does_not_shadow_torch(fresh_python):
    pytest.importorskip("torch")
    code = (
        "import gpuconv.torch, torch; print(torch.__file__ != gpuconv.torch.__file__, gpuconv.torch.replace)"
    )
    assert fresh_python(code).startswith("True <function replace")


def test_the_example_of_the_readme():
    pytest.importorskip("torch")
    (code,) = re.findall(r"```python\n(import torch.*?)```", (ROOT / "README.md").read_text(), re.S)
    names = {}
    exec(code, names)
    assert type(names["model"][0]).__module__ == "gpuconv.torch.modules"
    assert names["model"][0].weight.grad.shape == (8, 3, 3, 3) and names["edges"].shape == (1, 8, 16, 16)
