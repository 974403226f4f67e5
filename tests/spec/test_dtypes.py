"""The one table of dtypes."""

import io
import tokenize
from pathlib import Path

import numpy as np
import pytest

import gpuconv
from gpuconv.spec.dtypes import BFLOAT16, FLOAT16, FLOAT32, INT64, Dtype

PACKAGE = Path(gpuconv.__file__).parent
TABLE = PACKAGE / "spec" / "dtypes.py"


@pytest.mark.parametrize("dtype", Dtype, ids=str)
def test_a_row_agrees_with_numpy(dtype):
    assert dtype.numpy.name == dtype == Dtype(dtype.numpy.name)
    assert dtype.numpy.itemsize == dtype.itemsize == np.dtype(dtype.stored).itemsize
    assert dtype.numpy.isnative
    assert hash(dtype) == hash(str(dtype)) and repr(dtype) == repr(str(dtype))
    assert dtype.is_narrow == (dtype.itemsize < 4)


def test_16_bits_are_computed_in_float32():
    assert {FLOAT16.arithmetic, BFLOAT16.arithmetic, FLOAT32.arithmetic} == {FLOAT32}
    assert INT64.arithmetic is INT64


def test_an_unknown_dtype():
    with pytest.raises(ValueError, match="'float128' is not a valid Dtype"):
        Dtype("float128")


def literals(path):
    """The strings of a file that are no docstrings, each with its line."""
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.STRING and before not in (tokenize.NEWLINE, tokenize.INDENT):
            yield token.string.strip("\"'"), token.start[0]
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            before = token.type


@pytest.mark.parametrize(
    "path",
    [path for path in PACKAGE.rglob("*.py") if path != TABLE],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_dtype_is_written_down_elsewhere(path):
    names = set(map(str, Dtype))
    assert [(text, line) for text, line in literals(path) if text in names] == []
