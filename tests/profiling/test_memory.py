"""How much memory a call takes beside its arrays."""

import json
import sys

import numpy as np
import pytest

from gpuconv.spec import ConvSpec
from profiling import memory
from profiling.workloads import drawn
from tests.sampling import few

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
MEGABYTE = 1 << 20


def takes(beside, result):
    """A call that touches so many bytes and gives others back."""

    def call():
        np.ones(beside, np.uint8)
        return np.ones(result, np.uint8)

    return call


@pytest.mark.wide  # seconds
@pytest.mark.parametrize("size", few([8, 80], 1))
def test_what_a_call_takes_beside_its_result(size):
    found, result = memory.in_child(lambda: memory.beside(takes(size * MEGABYTE, 4)))
    assert result == 4 and abs(found - size * MEGABYTE) < 2 * MEGABYTE


def test_a_child_that_fails_says_nothing(capfd):
    assert memory.in_child(lambda: 1 / 0) is None
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_kinds_are_of_the_same_problems_in_turn():
    plain, kinds = ([*memory.problems(30, 1, all_kinds)] for all_kinds in (False, True))
    assert [layer.spec for layer in plain] == [layer.spec for layer in drawn(30, 1).layers]
    of_convolutions = {
        (layer.spec.dtype, layer.spec.direction) for layer in kinds if isinstance(layer.spec, ConvSpec)
    }
    assert len(of_convolutions) > 4


def test_the_command_writes_what_it_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "by_gpuconv", lambda layer: (5, 7))
    file = tmp_path / "memory.json"
    assert memory.main(["--random", "2", "--out", str(file)]) == 0
    written = json.loads(file.read_text())
    assert written["summary"]["most"] == 5 and [row["result"] for row in written["rows"]] == [7, 7]
