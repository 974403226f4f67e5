"""The picture of a run: how fast gpuconv is on each layer relative to each peer.

One panel a workload, one line a layer, one dot a peer: to the right of 1x gpuconv is faster. A filled dot is
the run with the most threads, a hollow one that with the fewest; algorithms that are not selected are pale.
A panel's headline has the geometric mean on one thread first. Where others took too much of the machine it is
left out, the dots are crosses, and the head of the picture says so.
"""

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from PIL import Image

from profiling.bench.report import doubtful, ratio, summarise
from profiling.results import Row

COLOURS = ("#d1495b", "#2e6f9e", "#e0a030", "#6a4c93")  # one a peer, apart for the colour-blind too
AHEAD, BEHIND, TEXT, GRID, GREY = "#eef6ee", "#faf3f1", "#333333", "#d9d9d9", "#777777"
DOT, CROSS = "o", "x"
LARGE, SMALL, PALE = 6, 4, 0.35  # dots of selected algorithms, and of the others
LINE_INCHES, PANEL_INCHES, HEAD_INCHES = 0.19, 0.75, 1.0
LINES_PER_COLUMN = 45
COLUMN_INCHES = 7.2
DPI = 110
PALETTE = 128


def speeds(path: Path, head: dict[str, Any], rows: Sequence[Row]) -> None:
    """Draw the rows that have a ratio into a PNG file."""
    rows = [row for row in rows if ratio(row)]
    colours = _colours(rows)
    panels = _panels(rows)
    columns = _columns(panels)
    heights = [sum(_height(panels[name]) for name in column) for column in columns]
    figure = Figure(figsize=(COLUMN_INCHES * len(columns), max(heights) + HEAD_INCHES), facecolor="white")
    limits = _limits(rows)
    for index, column in enumerate(columns):
        top = figure.get_figheight() - HEAD_INCHES
        for name in column:
            axes = _place(figure, index, len(columns), top, panels[name])
            _draw(axes, name, panels[name], colours, limits, head["others_pct"])
            text = headline(panels[name], head["others_pct"])
            axes.set_title(text, loc="right", fontsize=7, color=TEXT, pad=4)
            top -= _height(panels[name])
    _write_head(figure, head, rows, colours)
    picture = BytesIO()
    figure.savefig(picture, dpi=DPI)
    Image.open(picture).convert("RGB").quantize(PALETTE).save(path, optimize=True)  # a third of the bytes


def _panels(rows: Sequence[Row]) -> dict[str, list[Row]]:
    panels: dict[str, list[Row]] = {}
    for row in rows:
        panels.setdefault(row["workload"], []).append(row)
    return panels


def _colours(rows: Sequence[Row]) -> dict[str, str]:
    peers = dict.fromkeys(row["peer"] for row in rows)
    return {peer: COLOURS[index % len(COLOURS)] for index, peer in enumerate(peers)}


def _height(rows: Sequence[Row]) -> float:
    return PANEL_INCHES + LINE_INCHES * len({row["layer"] for row in rows})


def _columns(panels: dict[str, list[Row]]) -> list[list[str]]:
    """The workloads in columns of about equal height, in order within each."""
    heights = {name: _height(rows) for name, rows in panels.items()}
    longest = max(PANEL_INCHES + LINE_INCHES * LINES_PER_COLUMN, *heights.values())
    columns: list[list[str]] = [[] for _ in range(math.ceil(sum(heights.values()) / longest))]
    for name in sorted(panels, key=heights.__getitem__, reverse=True):
        shortest = min(columns, key=lambda column: sum(heights[other] for other in column))
        shortest.append(name)
    order = list(panels)
    return sorted((sorted(column, key=order.index) for column in columns), key=lambda c: order.index(c[0]))


def _place(figure: Figure, column: int, columns: int, top: float, rows: Sequence[Row]) -> Axes:
    """Axes whose upper edge lies `top` inches above the figure's foot, in one of its columns."""
    height, width = figure.get_figheight(), 1 / columns
    inner = _height(rows) - PANEL_INCHES
    left, right = 0.31 * width, 0.03 * width
    bottom = top - 0.3 - inner
    return figure.add_axes((column * width + left, bottom / height, width - left - right, inner / height))


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    """Of the horizontal axis, in powers of two, with 1x inside."""
    logarithms = [math.log2(ratio(row)) for row in rows]
    return 2 ** min(-1.2, math.floor(min(logarithms)) - 0.2), 2 ** max(1.2, math.ceil(max(logarithms)) + 0.2)


def _draw(
    axes: Axes, name: str, rows: Sequence[Row], colours: dict[str, str], limits: tuple[float, float],
    others_pct: float | None,
) -> None:  # fmt: skip
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    most = max(row["threads"] or 1 for row in rows)
    axes.axvspan(limits[0], 1, color=BEHIND, zorder=0)
    axes.axvspan(1, limits[1], color=AHEAD, zorder=0)
    axes.axvline(1, color=TEXT, linewidth=1, zorder=1)
    for row in rows:
        colour, filled = colours[row["peer"]], (row["threads"] or 1) == most
        marker = CROSS if doubtful(row["threads"], others_pct) else DOT
        axes.plot(
            ratio(row), layers.index(row["layer"]), marker, markersize=LARGE if row["selected"] else SMALL,
            markerfacecolor=colour if filled else "white", markeredgecolor=colour, markeredgewidth=1.2,
            alpha=1 if row["selected"] else PALE, zorder=3 if filled else 2, clip_on=False,
        )  # fmt: skip
    axes.set_yticks(range(len(layers)), layers, fontsize=8, color=TEXT)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.set_title(name, loc="left", fontsize=10, fontweight="bold", color=TEXT, pad=5)
    _style(axes, limits)


def headline(rows: Sequence[Row], others_pct: float | None) -> str:
    """A panel's geometric mean against each peer, all operators together, for each number of threads."""
    parts = []
    for threads in sorted({row["threads"] for row in rows}, key=lambda threads: threads or 0):
        members = [row | {"op": "all"} for row in rows if row["threads"] == threads]
        means = "  ".join(f"{entry['peer']} {_short(entry['geomean'])}" for entry in summarise(members))
        if doubtful(threads, others_pct):
            means = "left out"
        parts.append(means if threads is None else f"{_threads(threads)}: {means}")
    return "\n".join(parts)


def _short(mean: float) -> str:
    return f"{mean:.0f}x" if mean >= 10 else f"{mean:.2g}x"


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _style(axes: Axes, limits: tuple[float, float]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(*limits)
    powers = range(math.ceil(math.log2(limits[0])), math.floor(math.log2(limits[1])) + 1)
    step = 1 + len(powers) // 12
    axes.xaxis.set_major_locator(FixedLocator([2.0**power for power in powers if power % step == 0]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _times(value)))
    axes.tick_params(axis="x", labelsize=8, labelcolor=TEXT, length=0)
    axes.tick_params(axis="y", length=0)
    axes.grid(color=GRID, linewidth=0.6, zorder=1)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _times(value: float) -> str:
    return f"{value:g}x" if value >= 1 else f"1/{round(1 / value)}x"


def _write_head(figure: Figure, head: dict[str, Any], rows: Sequence[Row], colours: dict[str, str]) -> None:
    height, margin = figure.get_figheight(), 0.12 / figure.get_figwidth()
    figure.text(
        margin, 1 - 0.28 / height, "gpuconv's speed relative to other libraries: layers, and geometric means",
        fontsize=13, fontweight="bold", color=TEXT,
    )  # fmt: skip
    driver = f", driver {head['driver']}" if head["driver"] else ""
    dtypes = ", ".join(dict.fromkeys(row["dtype"] for row in rows))
    facts = f"{head['device']}{driver}; {dtypes}; {head['date']}; commit {head['commit']}"
    threads = sorted({row["threads"] for row in rows if row["threads"]})
    facts += spoilt(threads, head["others_pct"])
    figure.text(margin, 1 - 0.5 / height, facts, fontsize=8, color=GREY)
    handles = legend(threads, colours, any(not row["selected"] for row in rows))
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 1 - 0.55 / height), ncols=len(handles),
        frameon=False, fontsize=8, labelcolor=TEXT, handletextpad=0.2, columnspacing=1.5,
    )  # fmt: skip


def spoilt(threads: Sequence[int], others_pct: float | None) -> str:
    """What others took of the machine, and what that means."""
    if not others_pct:
        return ""
    text = f"; others took {others_pct:.0f} % of the machine"
    counts = " and ".join(_threads(count) for count in threads if doubtful(count, others_pct))
    return text + (f": what was measured on {counts} (crosses) does not count" if counts else "")


def legend(threads: Sequence[int], colours: dict[str, str], pale: bool) -> list[Line2D]:
    """What the dots mean: colours, filling, and, where there are any, the pale ones."""
    handles = [_dot(colour, colour, f"beside {peer}") for peer, colour in colours.items()]
    if len(threads) > 1:
        handles += [_dot("white", GREY, _threads(threads[0])), _dot(GREY, GREY, _threads(threads[-1]))]
    if pale:
        handles.append(_dot(GREY, GREY, "pale: not what a call selects", SMALL, PALE))
    return handles


def _dot(face: str, edge: str, text: str, size: float = LARGE, alpha: float = 1) -> Line2D:
    return Line2D(
        [], [], linestyle="", marker="o", markersize=size, markerfacecolor=face, markeredgecolor=edge,
        alpha=alpha, label=text,
    )  # fmt: skip
