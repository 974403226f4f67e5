"""Tables on the terminal: with rich if it is installed, else as plain text."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TextIO

WIDTH = 170  # where the output is no terminal


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text.

    Attributes
    ----------
    text : collection of str
        Columns of words, which begin on the left; the others are numbers.
    ratios : collection of str
        Columns that are green from 1 on, and red below.
    """

    title: str
    header: Sequence[str]
    lines: Sequence[Sequence[str]]
    text: Collection[str] = ()
    ratios: Collection[str] = ()


def show(tables: Sequence[Table], stream: TextIO | None = None) -> None:
    """Print the tables."""
    (_show_rich if find_spec("rich") else show_plain)(tables, stream or sys.stdout)


def _show_rich(tables: Sequence[Table], output: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(file=output, width=None if output.isatty() else WIDTH)
    for table in tables:
        shown = RichTable(title=table.title, title_justify="left", title_style="bold", header_style="dim")
        for name in table.header:
            shown.add_column(name, justify="left" if name in table.text else "right", no_wrap=True)
        for line in table.lines:
            cells = zip(table.header, line, strict=True)
            shown.add_row(*(_coloured(cell) if name in table.ratios else cell for name, cell in cells))
        console.print(shown)


def _coloured(cell: str) -> str:
    return cell and f"[{'green' if float(cell) >= 1 else 'red'}]{cell}[/]"


def show_plain(tables: Sequence[Table], output: TextIO | None = None) -> None:
    """Print the tables as text, however wide they are."""
    for table in tables:
        widths = [max(map(len, column)) for column in zip(table.header, *table.lines, strict=True)]
        print(f"\n{table.title}", file=output)
        for line in (table.header, *table.lines):
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            print("  ".join(cells).rstrip(), file=output)
