"""`gpuconv demo`: filter and pool pictures as one batch; a contact sheet as PNG, and a table of times."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

import gpuconv
from gpuconv.call import Call, understand
from gpuconv.commands import sheet_file
from gpuconv.commands.environment import DEMO_HINT, DEMO_PACKAGES, DEVICES, Cpu, require
from gpuconv.spec import ConvSpec

TABLE_WIDTH = 96  # an operator, a shape and an algorithm side by side
REPEATS = 7  # timed calls after the first
SHOWN = 12  # pictures on the contact sheet; all are computed
BLOCK = 8  # pixels of a pooling window's side: large enough to be seen

# Each sums to 0 and shows edges alone: those across which the picture gets lighter, or darker.
EDGES = np.array(
    [
        [[-1, -1, -1], [0, 0, 0], [1, 1, 1]],
        [[-1, 1, 0], [-1, 1, 0], [-1, 1, 0]],
        [[-1, -1, 0], [-1, 0, 1], [0, 1, 1]],
        [[0, 1, 1], [-1, 0, 1], [-1, -1, 0]],
    ],
    np.float32,
)
EDGE_TITLES = ("top edges", "left edges", "rising diagonal", "falling diagonal")
COLOUR_TITLES = (
    ("sepia", "conv2d 1x1"),
    ("greatest", f"max_pool2d {BLOCK}x{BLOCK}"),
    ("mean", f"avg_pool2d {BLOCK}x{BLOCK}"),
    ("global mean", "avg_pool2d of all"),
)
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]], np.float32)


@dataclass(frozen=True)
class Step:
    """One operator: what the table calls it, and the call after its input."""

    title: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    parameters: dict[str, Any] = field(default_factory=dict)

    def __call__(self, x: Any) -> Any:
        return self.function(x, *self.arguments, **self.parameters)


@dataclass(frozen=True)
class Measurement:
    """What a step means, its result as a NumPy array, and the median time of a call in seconds."""

    step: Step
    call: Call
    result: np.ndarray
    seconds: float

    @property
    def rate(self) -> str:
        """GFLOP/s of a convolution, GB/s of a pool: input and output once each."""
        spec = self.call.spec
        if isinstance(spec, ConvSpec):
            return f"{spec.flops / self.seconds / 1e9:.1f} GFLOP/s"
        return f"{spec.min_bytes / self.seconds / 1e9:.1f} GB/s"


def demo(images: Sequence[str] = (), out: str = "gpuconv-demo.png", device: str = "cpu") -> int:
    """Compute, draw and print; returns exit code 0.

    Parameters
    ----------
    images : sequence of str
        Files; scikit-image's photographs if there is none.
    out : str
        Where the contact sheet is written, when everything else is done.
    device : str
        "cpu" or "cuda".

    Raises
    ------
    CommandError
        For a missing package or device, an unreadable picture or a file that cannot be written.
    """
    require(DEMO_PACKAGES, DEMO_HINT)
    target = sheet_file.writable(out, images)
    opened = DEVICES[device]()
    from gpuconv.commands import pictures as pictures_module

    pictures = pictures_module.load(images) if images else pictures_module.shipped()
    batch, note = pictures_module.as_batch(pictures)
    x = opened.put(batch)
    measurements = _measure_all(steps(opened, x), opened, x)
    _print_table(measurements, batch.shape, opened, note)
    names = [picture.name for picture in pictures]
    png = _contact_sheet(names, batch, [done.result for done in measurements])
    sheet_file.write(target, png)
    left_out = f" (the first {SHOWN} of {len(names)} pictures)" if len(names) > SHOWN else ""
    print(f"contact sheet{left_out}: {target}")
    return 0


def steps(device: Cpu, x: Any) -> tuple[Step, ...]:
    """The operators, with their weights on the device of x (N, 3, H, W)."""
    edges = device.put(EDGES[:, None] * LUMINANCE[:, None, None])  # (4, 3, 3, 3)
    sepia = device.put(SEPIA[:, :, None, None])
    return (
        Step("edges 3x3", gpuconv.conv2d, (edges,), {"padding": 1}),
        Step("edges 3x3, stride 2", gpuconv.conv2d, (edges,), {"stride": 2, "padding": 1}),
        Step("colour mix 1x1", gpuconv.conv2d, (sepia,)),
        Step(f"max pool {BLOCK}x{BLOCK}", gpuconv.max_pool2d, (BLOCK,)),
        Step(f"average pool {BLOCK}x{BLOCK}", gpuconv.avg_pool2d, (BLOCK,)),
        Step("global average", gpuconv.avg_pool2d, (x.shape[2:],)),
    )


def _measure_all(operators: Sequence[Step], device: Cpu, x: Any) -> list[Measurement]:
    """All steps, one after the other: shown by a bar where stderr is a terminal, else by a line for each."""
    console = import_module("rich.console").Console(stderr=True)
    if not console.is_interactive:
        places = (f"{number}/{len(operators)}" for number in range(1, len(operators) + 1))
        return [_measure_aloud(place, step, device, x) for place, step in zip(places, operators, strict=True)]
    measurements = []
    with import_module("rich.progress").Progress(console=console, transient=True) as bar:
        task = bar.add_task("", total=len(operators) * (1 + REPEATS))
        for step in operators:
            bar.update(task, description=f"{step.title}: compiling, in the first run only")
            advance = partial(bar.update, task, advance=1, description=f"{step.title}: measuring")
            measurements.append(_measure(step, device, x, advance))
    return measurements


def _measure_aloud(place: str, step: Step, device: Cpu, x: Any) -> Measurement:
    """Measure, in a line that begins before the step does."""
    print(f"{place}  {step.title:<20}", end="", flush=True)
    begin = time.perf_counter()
    measurement = _measure(step, device, x, lambda: None)
    print(f"{time.perf_counter() - begin:6.1f} s", flush=True)
    return measurement


def _measure(step: Step, device: Cpu, x: Any, advance: Callable[[], None]) -> Measurement:
    """Compute, in the first call, which may compile, and in those that are timed; `advance` after each."""
    calls = _calls(step, device, x)
    result, _ = next(calls)
    advance()
    seconds = []
    for _, elapsed in calls:
        seconds.append(elapsed)
        advance()
    call = understand(step.function, x, *step.arguments, **step.parameters)
    return Measurement(step, call, device.get(result), statistics.median(seconds))


def _calls(step: Step, device: Cpu, x: Any) -> Iterator[tuple[Any, float]]:
    for _ in range(1 + REPEATS):
        begin = time.perf_counter()
        result = step(x)
        device.wait()
        yield result, time.perf_counter() - begin


def _print_table(
    measurements: Sequence[Measurement], shape: Sequence[int], device: Cpu, note: str | None
) -> None:
    rich, table_module = import_module("rich.console"), import_module("rich.table")
    table = table_module.Table(
        title=f"input {tuple(shape)} float32, {device.name}", box=import_module("rich.box").SIMPLE_HEAD
    )
    for heading, side in (("operator", "left"), ("output", "left"), ("algorithm", "left")):
        table.add_column(heading, justify=side)
    for heading in ("ms", "rate"):
        table.add_column(heading, justify="right")
    for done in measurements:
        row = (
            done.step.title,
            str(done.call.spec.out_shape),
            done.call.algorithm.name,
            f"{done.seconds * 1e3:.2f}",
            done.rate,
        )
        table.add_row(*row)
    console = rich.Console()
    console.width = max(console.width, TABLE_WIDTH)
    console.print(table)
    console.print(f"median of {REPEATS} calls after the first", highlight=False)
    if note:
        console.print(f"note: {note}", highlight=False)


def _contact_sheet(names: Sequence[str], batch: np.ndarray, results: Sequence[np.ndarray]) -> bytes:
    from gpuconv.commands import contact_sheet as sheet

    rows = []
    for n, name in enumerate(names[:SHOWN]):
        edges, strided, *colours = (result[n] for result in results)
        strength = -np.hypot(strided[0], strided[1])  # dark on light, like a pencil
        panels = [sheet.Panel("picture", "input", batch[n].transpose(1, 2, 0))]
        for k, title in enumerate(EDGE_TITLES):
            panels.append(sheet.Panel(title, "conv2d 3x3", edges[k], signed=True))
        panels.append(sheet.Panel("edge strength", "conv2d 3x3, stride 2", strength))
        for (title, call), colour in zip(COLOUR_TITLES, colours, strict=True):
            panels.append(sheet.Panel(title, call, colour.transpose(1, 2, 0)))
        rows.append((name, panels))
    N, _, H, W = batch.shape
    return sheet.draw(rows, H / W, f"gpuconv: {N} picture{'s' * (N > 1)} as one batch, {len(results)} calls")
