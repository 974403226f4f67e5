"""The contact sheet of what was learned.

+---------+--------------------+---------------+
| filters | the loss on digits | first example |
+---------+--------------------+---------------+
| counts  | misread digits                     |
+---------+------------------------------------+
"""

import io
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gpuconv.commands.contact_sheet import DOTS_PER_INCH, FAINT, INK, PAPER
from gpuconv.commands.layers import Array
from gpuconv.commands.learn import BATCH, Edges, Lesson

WIDTH, HEIGHT = 12.65, 7.95  # inches, as all that follows
SIDE = 2.9  # of the square blocks
LEFT, MIDDLE, RIGHT = 0.35, 4.0, 9.1  # where the columns begin
TOP, BOTTOM = 3.95, 0.4  # where the rows do
GAP = 0.08
SHOWN = 10  # misread digits, in two lines
RIGHT_COLOUR, WRONG_COLOUR = "#4f9d69", "#e0794b"


def draw(edges: Edges, lesson: Lesson) -> bytes:
    """A PNG of both lessons."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DOTS_PER_INCH, facecolor=PAPER)
    FigureCanvasAgg(figure)
    heading = f"gpuconv: {lesson.accuracy:.1%} of {len(lesson.read)} unseen digits read right"
    figure.text(LEFT / WIDTH, 1 - 0.25 / HEIGHT, heading, fontsize=13, weight="bold", color=INK, va="top")
    _filters(figure, lesson.network.layers[0].parameters[0][:, 0])
    _losses(figure, lesson.losses)
    _edges(figure, edges)
    _confusions(figure, lesson)
    _misread(figure, lesson)
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor=PAPER)
    return file.getvalue()


def _filters(figure: Figure, weight: Array) -> None:
    """Those of the first convolution, (K, R, S), in a square; light adds and dark takes away."""
    _title(figure, LEFT, TOP + SIDE, f"the first {len(weight)} filters", "light adds, dark takes away")
    lines = int(np.ceil(np.sqrt(len(weight))))
    side = (SIDE + GAP) / lines - GAP
    for (left, bottom), pixels in zip(_places(LEFT, TOP, lines, lines, side, GAP), weight, strict=False):
        _grey(_axes(figure, left, bottom, side, side), pixels, np.abs(pixels).max())


def _losses(figure: Figure, losses: Sequence[float]) -> None:
    _title(figure, MIDDLE, TOP + SIDE, "loss on the digits", f"each step of {BATCH} images, and their mean")
    axes = _axes(figure, MIDDLE + 0.35, TOP + 0.3, RIGHT - MIDDLE - 0.85, SIDE - 0.3)
    steps = np.arange(1, len(losses) + 1)
    window = min(len(losses), 40)
    means = np.convolve(losses, np.full(window, 1 / window), "valid")
    axes.plot(steps, losses, color=FAINT, linewidth=0.4, alpha=0.7)
    axes.plot(steps[window // 2 :][: len(means)], means, color=INK, linewidth=1.6)
    _logarithmic(axes)


def _edges(figure: Figure, edges: Edges) -> None:
    """The image, the filter and the edges in a line, and under it how the loss fell."""
    _title(figure, RIGHT, TOP + SIDE, "the first example", "image, filter learned, edges; and its loss")
    side = 1.0
    places = _places(RIGHT, TOP + SIDE - side, 1, 3, side, GAP)
    for (left, bottom), pixels in zip(places, (edges.image, edges.learned, edges.edges), strict=True):
        axes = _axes(figure, left, bottom, side, side)
        _grey(axes, pixels, 1)
        if pixels is edges.learned:
            for place, weight in enumerate(pixels[0]):
                colour = PAPER if weight > 0 else INK
                axes.text(place, 0, f"{weight:.2f}", color=colour, ha="center", va="center", fontsize=8)
    axes = _axes(figure, RIGHT + 0.35, TOP + 0.3, SIDE - 0.35, SIDE - side - 0.5)
    axes.plot(np.arange(1, len(edges.losses) + 1), edges.losses, color=INK, linewidth=1.6, marker=".")
    _logarithmic(axes)


def _confusions(figure: Figure, lesson: Lesson) -> None:
    """How many of each digit, downwards, were read as which, to the right."""
    _title(figure, LEFT, BOTTOM + SIDE, "digits, and what they were read as", "rows: the digit")
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (lesson.unseen.labels, lesson.read), 1)
    axes = _axes(figure, LEFT + 0.15, BOTTOM, SIDE - 0.15, SIDE - 0.15)
    axes.set(xlim=(-0.5, 9.5), ylim=(9.5, -0.5), xticks=range(10), yticks=range(10))
    for digit, other in np.argwhere(counts):
        colour = RIGHT_COLOUR if digit == other else WRONG_COLOUR
        axes.fill_between([other - 0.46, other + 0.46], digit - 0.46, digit + 0.46, color=colour, linewidth=0)
        axes.text(other, digit, str(counts[digit, other]), color=PAPER, ha="center", va="center", fontsize=8)


def _misread(figure: Figure, lesson: Lesson) -> None:
    wrong = np.flatnonzero(lesson.read != lesson.unseen.labels)
    some = f", of which {SHOWN}" if len(wrong) > SHOWN else ""
    _title(figure, MIDDLE, BOTTOM + SIDE, f"{len(wrong)} misread{some}", "what it is, and what was read")
    side = 1.2
    for (left, bottom), image in zip(_places(MIDDLE, BOTTOM, 2, SHOWN // 2, side, 0.36), wrong, strict=False):
        axes = _axes(figure, left, bottom, side, side)
        axes.imshow(lesson.unseen.images[image, 0], cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        said = f"{lesson.unseen.labels[image]}, read as {lesson.read[image]}"
        axes.text(0.5, 1.04, said, color=INK, ha="center", fontsize=8, transform=axes.transAxes)


def _places(
    left: float, bottom: float, lines: int, columns: int, side: float, gap: float
) -> Iterator[tuple[float, float]]:
    """(left, bottom) of each square of a grid, line by line from the top."""
    for line in reversed(range(lines)):
        for column in range(columns):
            yield left + column * (side + gap), bottom + line * (side + gap)


def _axes(figure: Figure, left: float, bottom: float, wide: float, high: float) -> Axes:
    """Axes there, without a frame."""
    axes = figure.add_axes((left / WIDTH, bottom / HEIGHT, wide / WIDTH, high / HEIGHT), facecolor=PAPER)
    axes.tick_params(colors=FAINT, labelsize=7, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    return axes


def _title(figure: Figure, left: float, bottom: float, title: str, below: str) -> None:
    """The title, and below it a remark, above what begins there."""
    for text, inches, size, colour in ((title, 0.27, 9, INK), (below, 0.11, 7, FAINT)):
        figure.text(left / WIDTH, (bottom + inches) / HEIGHT, text, fontsize=size, color=colour)


def _grey(axes: Axes, pixels: Array, most: float) -> None:
    """Pixels from -most, black, to most, white."""
    axes.imshow(pixels, cmap="gray", vmin=-most, vmax=most, aspect="auto")
    axes.set(xticks=[], yticks=[])


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.5)
