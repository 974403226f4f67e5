"""A kernel bound to all but its arrays: by name, and nothing that is not an array of such elements."""

import numpy as np
import pytest

from gpuconv.cpu.conv import direct
from gpuconv.cpu.engine.epilogue import NOTHING
from gpuconv.cpu.engine.launch import bind
from gpuconv.spec.dtypes import FLOAT32

CONSTANTS = {
    "epilogue": NOTHING, "dilation_w": 1, "dilation_h": 1, "stride_w": 1, "stride_h": 1, "left": 0, "top": 0,
    "groups": 1,
}  # fmt: skip
WORKSPACES = {"row": 2 * direct.BLOCK_Q, "acc": direct.BLOCK_K * direct.BLOCK_Q}
ARRAYS = tuple(np.ones(shape, np.float32) for shape in ((1, 1, 3, 3), (1, 1, 2, 2), 1, *[(1, 1, 2, 2)] * 2))


def bound(constants, workspaces):
    return bind(direct.convolve_rows, FLOAT32, 2, 1, constants, workspaces)


def test_the_order_of_names_means_nothing():
    x, w, bias, residual, y = (array.copy() for array in ARRAYS)
    bound(CONSTANTS, WORKSPACES)(x, w, bias, residual, y)
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), 5))


@pytest.mark.parametrize(
    ("constants", "workspaces"),
    [
        ({**CONSTANTS, "other": 1}, WORKSPACES),
        ({name: 1 for name in CONSTANTS if name != "groups"}, WORKSPACES),
        (CONSTANTS, dict(reversed(WORKSPACES.items()))),
        (CONSTANTS, {}),
    ],
    ids=["one too many", "one missing", "workspaces in another order", "no workspaces"],
)
def test_other_names_than_the_parameters_are_refused(constants, workspaces):
    with pytest.raises(
        TypeError, match=r"convolve_rows takes x, w, bias, residual, y, epilogue, groups, .*; bound are "
    ):
        bound(constants, workspaces)


@pytest.mark.parametrize("wrong", [None, 1.0, np.ones((1, 1, 3, 3))], ids=str)
def test_what_is_no_such_array_is_refused(wrong):
    with pytest.raises(TypeError):
        bound(CONSTANTS, WORKSPACES)(wrong, *ARRAYS[1:])
    with pytest.raises(TypeError):
        bound(CONSTANTS, WORKSPACES)(*ARRAYS[:4])
