"""The contact sheet of the demonstration: a row for each picture, a column for each operator's result."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

CELL = 1.9  # inches of the longer side of one panel
GAP, MARGIN, HEADING, CAPTION = 0.07, 0.3, 0.4, 0.42  # inches
LETTER = 0.09  # inches along a picture's name
DOTS_PER_INCH = 150
PAPER, INK, FAINT = "#15181c", "#f2f2f0", "#9aa3ad"


@dataclass(frozen=True)
class Panel:
    """One result: colour (H, W, 3) from 0 to 1, or grey (H, W) of any range.

    A `signed` grey one has 0 in the middle of the scale, so that rising and falling edges look alike.
    """

    title: str
    call: str
    pixels: np.ndarray
    signed: bool = False


class Layout:
    """Where the panels lie, in inches: a line for each row, or two lines of larger panels for one or two."""

    def __init__(self, rows: int, panels: int, aspect: float) -> None:
        self.folded = rows <= 2
        self.lines_per_row = 2 if self.folded else 1
        self.columns = math.ceil(panels / self.lines_per_row)
        cell = CELL * (1.5 if self.folded else 1)
        self.wide, self.high = cell / max(aspect, 1), cell * min(aspect, 1)
        self.step = self.high + GAP + (CAPTION if self.folded else 0)
        self.width = 2 * MARGIN + self.columns * (self.wide + GAP) - GAP
        self.last = rows * self.lines_per_row - 1
        self.height = 2 * MARGIN + HEADING + CAPTION + self.high + self.last * self.step

    def box(self, row: int, number: int) -> tuple[float, float, float, float]:
        """(left, bottom, width, height) of a panel, as fractions of the figure."""
        line, column = divmod(number, self.columns)
        left = MARGIN + column * (self.wide + GAP)
        bottom = MARGIN + (self.last - row * self.lines_per_row - line) * self.step
        return left / self.width, bottom / self.height, self.wide / self.width, self.high / self.height


def draw(rows: Sequence[tuple[str, Sequence[Panel]]], aspect: float, heading: str) -> bytes:
    """A PNG of the rows, each (name, panels); `aspect` is height over width of every panel."""
    layout = Layout(len(rows), len(rows[0][1]), aspect)
    figure = Figure(figsize=(layout.width, layout.height), dpi=DOTS_PER_INCH, facecolor=PAPER)
    FigureCanvasAgg(figure)
    left, top = MARGIN / layout.width, 1 - MARGIN / layout.height
    figure.text(left, top, heading, fontsize=13, weight="bold", color=INK, va="top")
    letters = int(layout.high / LETTER)
    for row, (name, panels) in enumerate(rows):
        for number, panel in enumerate(panels):
            axes = figure.add_axes(layout.box(row, number))
            _show(axes, panel)
            if layout.folded or row == 0:
                _caption(axes, panel, layout.high)
            if number == 0:
                shown = name if len(name) <= letters else name[: letters - 3] + "..."
                axes.set_ylabel(shown, fontsize=9, color=INK, labelpad=4, parse_math=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor=PAPER)
    return file.getvalue()


def _caption(axes, panel: Panel, high: float) -> None:
    """The title, and below it the call, above the panel."""
    for text, inches, size, colour in ((panel.title, 0.2, 9, INK), (panel.call, 0.06, 7, FAINT)):
        axes.text(
            0.5, 1 + inches / high, text, fontsize=size, color=colour, ha="center", transform=axes.transAxes
        )


def _show(axes, panel: Panel) -> None:
    if panel.pixels.ndim == 3:
        axes.imshow(panel.pixels.clip(0, 1), aspect="auto", interpolation="nearest")
    else:
        low, high = np.percentile(panel.pixels, (0.5, 99.5))
        if panel.signed:
            high = max(-low, high)
            low = -high
        axes.imshow(panel.pixels, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
