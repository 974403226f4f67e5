"""What a run says: its rows, their summary, the tables on the terminal and the JSON file."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import geometric_mean
from typing import Any, TextIO

Row = dict[str, Any]

COLUMNS = ("layer", "x", "algorithm", "ms", "GFLOP/s", "GB/s", "roof %", "error")


def ratio(row: Row) -> float | None:
    """How many times faster than its peer: peer_ms / ms."""
    return row["peer_ms"] / row["ms"] if row["peer_ms"] and row["ms"] else None


def summarise(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each workload, operator, threads and peer, over the selected algorithms of all layers it computes.

    `geomean` is the geometric mean of peer_ms / ms, every layer counting alike, `geomean_fastest` that of the
    fastest repeats; `total` is the peer's time over ours for one pass, each layer counting as often as the
    network has it.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        if row["selected"] and ratio(row):
            groups.setdefault((row["workload"], row["op"], row["threads"], row["peer"]), []).append(row)
    summary = []
    for (workload, op, threads, peer), members in groups.items():
        fastest = (row["peer_fastest_ms"] / row["fastest_ms"] for row in members)
        theirs = sum(row["multiplicity"] * row["peer_ms"] for row in members)
        total = theirs / sum(row["multiplicity"] * row["ms"] for row in members)
        summary.append(
            {"workload": workload, "op": op, "threads": threads, "peer": peer, "layers": len(members),
             "geomean": significant(geometric_mean(map(ratio, members))),
             "geomean_fastest": significant(geometric_mean(fastest)), "total": significant(total)}
        )  # fmt: skip
    return summary


def significant(value: float | None, digits: int = 4) -> float | None:
    """Rounded to some significant digits; what is not finite has no place in JSON and becomes None."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")


def write_json(path: Path, head: dict[str, Any], rows: Sequence[Row]) -> None:
    """`head` with "summary" and "rows" added, one row a line so that two runs can be compared by eye."""
    lists = {"summary": summarise(rows), "rows": rows}
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, members in lists.items():
        lines = ",\n".join(json.dumps(member) for member in members)
        parts.append(f'"{key}": [\n{lines}\n]')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def tables(rows: Sequence[Row]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """(title, header, lines) for each workload and number of threads; one line a layer and algorithm."""
    sections = dict.fromkeys((row["workload"], row["threads"]) for row in rows)
    for workload, threads in sections:
        members = [row for row in rows if (row["workload"], row["threads"]) == (workload, threads)]
        peers = list(dict.fromkeys(row["peer"] for row in members if row["peer"]))
        by_line: dict[tuple, list[Row]] = {}
        for row in members:
            by_line.setdefault((row["layer"], row["algorithm"]), []).append(row)
        lines = [_line(group, peers) for group in by_line.values()]
        title = workload if threads is None else f"{workload}, {threads} thread{'s' * (threads > 1)}"
        yield title, [*COLUMNS, *(f"x {peer}" for peer in peers)], lines


def _line(group: Sequence[Row], peers: Sequence[str]) -> list[str]:
    row, ratios = group[0], {row["peer"]: ratio(row) for row in group}
    name = row["algorithm"] + ("" if row["selected"] else " (not selected)")
    cells = [row["layer"], str(row["multiplicity"]), name]
    cells += [_number(row[key]) for key in ("ms", "gflops", "gbytes_s", "roofline_pct")]
    cells.append("" if row["max_error"] is None else f"{row['max_error']:.1e}")
    return cells + [_number(ratios.get(peer)) for peer in peers]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def print_report(rows: Sequence[Row], stream: TextIO | None = None) -> None:
    """Tables of all rows, then the summary: with rich if it is installed, else as plain text."""
    output = stream or sys.stdout
    sections = list(tables(rows))
    lines = [
        [entry["workload"], entry["op"], str(entry["threads"] or ""), entry["peer"], str(entry["layers"]),
         _number(entry["geomean"]), _number(entry["total"])]
        for entry in summarise(rows)
    ]  # fmt: skip
    header = ["workload", "operator", "threads", "peer", "layers", "geomean", "total"]
    sections.append(("Summary: peer's time over gpuconv's; above 1 gpuconv is faster", header, lines))
    try:
        _print_rich(sections, output)
    except ImportError:
        _print_plain(sections, output)


def _print_rich(sections: Sequence[tuple[str, list[str], list[list[str]]]], output: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(file=output, width=None if output.isatty() else 140)
    for title, header, lines in sections:
        table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
        for name in header:
            text = name in ("layer", "algorithm", "workload", "operator", "peer")
            table.add_column(name, justify="left" if text else "right", no_wrap=True)
        is_ratio = [name.startswith("x ") or name in ("geomean", "total") for name in header]
        for line in lines:
            cells = zip(line, is_ratio, strict=True)
            table.add_row(*(_coloured(cell) if mark else cell for cell, mark in cells))
        console.print(table)


def _coloured(cell: str) -> str:
    return cell and f"[{'green' if float(cell) >= 1 else 'red'}]{cell}[/]"


def _print_plain(sections: Sequence[tuple[str, list[str], list[list[str]]]], output: TextIO) -> None:
    for title, header, lines in sections:
        widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
        print(f"\n{title}", file=output)
        for line in (header, *lines):
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            print("  ".join(cells).rstrip(), file=output)


@contextmanager
def progress(total: int) -> Iterator[Any]:
    """A function to call with what comes next, `total` times: a bar on a terminal, lines elsewhere."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        yield _Lines(total)
        return
    if not sys.stderr.isatty():
        yield _Lines(total)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, completed=-1)
        yield lambda what: bar.update(task, advance=1, description=what)
        bar.update(task, completed=total, description="done")


class _Lines:
    """The progress without a terminal or without rich: a numbered line for each step."""

    def __init__(self, total: int) -> None:
        self.total, self.begun = total, 0

    def __call__(self, what: str) -> None:
        self.begun += 1
        print(f"[{self.begun}/{self.total}] {what}", file=sys.stderr, flush=True)
