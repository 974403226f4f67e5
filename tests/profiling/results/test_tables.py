"""Tables and numbers as they are written."""

import pytest

from profiling.results import Table, significant, tables
from profiling.results.tables import show_plain

TABLE = Table(
    "title", ["kernel", "x torch"], [["a kernel", "86.63"], ["another", ""]], ["kernel"], ["x torch"]
)


@pytest.mark.parametrize("without_rich", [False, True])
def test_tables_with_and_without_rich_hold_the_same_cells(without_rich, monkeypatch, capsys):
    if without_rich:
        monkeypatch.setattr(tables, "find_spec", lambda name: None)
    else:
        pytest.importorskip("rich")
    tables.show([TABLE])
    printed = capsys.readouterr().out
    assert all(cell in printed for cell in ("title", "x torch", "a kernel", "86.63", "another"))


def test_plain_tables_are_as_wide_as_their_cells(capsys):
    show_plain([TABLE])
    assert capsys.readouterr().out == "\ntitle\nkernel    x torch\na kernel  86.63\nanother\n"


def test_significant_digits_and_what_json_cannot_hold():
    assert significant(1234567.0) == 1235000.0
    assert significant(float("nan")) is significant(None) is None
