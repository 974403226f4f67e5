"""The command `python -m profiling.large_image`: an image larger than memory, filtered and pooled.

    Zarr (H, W)  ->  7x7  ->  3x3 at stride 2  ->  maxima of 2x2  ->  Zarr (H / 4, W / 4)

computed by gpuconv of dask arrays, chunk by chunk, and beside it, each in a process of its own,

slices       the same chunks one after the other: slices of the Zarr array that are as much larger as the
             windows ask for, through the same three functions, and nothing of dask
dask-image   `dask_image.ndfilters.correlate`, every second row and column, `dask.array.coarsen`
scipy        `scipy.ndimage.correlate` by `dask.array.map_overlap`, and the same

It prints seconds, on the clock and of processors, and the most memory that each process had, and compares the
results on crops that lie across chunks with those of one crop that is computed whole.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import gpuconv
from profiling import interrupts

random = np.random.default_rng(7)
FILTER, STRIDED = (random.standard_normal((1, 1, size, size)).astype(np.float32) / size for size in (7, 3))
TOLERANCE = 1e-4  # of values of about 1
CROPS = 6


def open_zarr(path: Path) -> Any:
    return import_module("zarr").open_array(str(path), mode="r+")


def new_zarr(path: Path | None, side: int, chunk: int) -> Any:
    """An array, in memory if it has no path, stored as it is, so that no codec is timed."""
    create = import_module("zarr").create_array
    store = {} if path is None else str(path)
    return create(store, shape=(side, side), chunks=(chunk, chunk), dtype="float32", compressors=None)


def write_image(folder: Path, side: int, chunk: int) -> None:
    image = new_zarr(folder / "image.zarr", side, chunk)
    for row, column in product(range(0, side, chunk), repeat=2):
        window = slice(row, min(side, row + chunk)), slice(column, min(side, column + chunk))
        shape = tuple(each.stop - each.start for each in window)
        image[window] = random.standard_normal(shape, np.float32)


def by_blocks(image: Any, result: Any) -> None:
    """The example: three calls on what is not there yet, and one that writes it."""
    array, progress = import_module("dask.array"), import_module("dask.diagnostics").ProgressBar
    x = array.from_zarr(image)[None]
    filtered = gpuconv.conv2d(x, FILTER, padding=3)
    halved = gpuconv.conv2d(filtered, STRIDED, stride=2, padding=1)
    pooled = gpuconv.max_pool2d(halved, 2)
    with progress(dt=1):
        array.store(pooled[0], result, lock=False)


def by_slices(image: Any, result: Any) -> None:
    step = result.chunks[0]
    for row, column in product(range(0, result.shape[0], step), range(0, result.shape[1], step)):
        window = (
            slice(row, min(row + step, result.shape[0])),
            slice(column, min(column + step, result.shape[1])),
        )
        result[window] = computed_whole(image, window)


def computed_whole(image: Any, window: tuple[slice, slice]) -> np.ndarray:
    """A crop of the result, of that crop of the image that it needs."""
    seen = [
        _seen(place, 4 * each.start - 1, 4 * each.stop)
        for place, each in zip(image.shape, window, strict=True)
    ]
    read = [_seen(place, low - 3, high + 3) for place, (low, high, _) in zip(image.shape, seen, strict=True)]
    x = image[tuple(slice(low, high) for low, high, _ in read)]
    filtered = gpuconv.conv2d(x[None], FILTER, padding=[pads for _, _, pads in read])
    halved = gpuconv.conv2d(filtered, STRIDED, stride=2, padding=[pads for _, _, pads in seen])
    return gpuconv.max_pool2d(halved, 2)[0]


def _seen(size: int, begin: int, end: int) -> tuple[int, int, tuple[int, int]]:
    """Places of an axis, cut at its ends, and how many are cut off."""
    low, high = max(begin, 0), min(end, size)
    return low, high, (low - begin, end - high)


def by_dask_image(image: Any, result: Any) -> None:
    filters = import_module("dask_image.ndfilters")
    _by_others(image, result, lambda x, weight: filters.correlate(x, weight, mode="constant"))


def by_scipy(image: Any, result: Any) -> None:
    ndimage = import_module("scipy.ndimage")
    _by_others(
        image,
        result,
        lambda x, weight: x.map_overlap(
            ndimage.correlate, len(weight) // 2, 0, weights=weight, mode="constant", meta=x._meta
        ),
    )


def _by_others(image: Any, result: Any, correlate: Callable[[Any, np.ndarray], Any]) -> None:
    array, progress = import_module("dask.array"), import_module("dask.diagnostics").ProgressBar
    filtered = correlate(array.from_zarr(image), FILTER[0, 0])
    halved = correlate(filtered, STRIDED[0, 0])[::2, ::2]
    with progress(dt=1):
        array.store(array.coarsen(np.max, halved, {0: 2, 1: 2}), result, lock=False)


WAYS = {"blocks": by_blocks, "slices": by_slices, "dask-image": by_dask_image, "scipy": by_scipy}


def run(way: str, folder: Path) -> None:
    """In a process of its own: compute and say what it took."""
    image = open_zarr(folder / "image.zarr")
    side, chunk = image.shape[0], image.chunks[0]
    WAYS[way](
        new_zarr(None, 2 * chunk, chunk), new_zarr(None, chunk // 2, chunk // 4)
    )  # imports and compiles
    result = new_zarr(folder / f"{way}.zarr", side // 4, chunk // 4)
    used = resource.getrusage(resource.RUSAGE_SELF)
    before, begin = used.ru_utime + used.ru_stime, time.perf_counter()
    WAYS[way](image, result)
    seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_SELF)
    processor = used.ru_utime + used.ru_stime - before
    print(json.dumps({"seconds": seconds, "processor": processor, "MiB": used.ru_maxrss / 1024}))


def differences(way: str, folder: Path) -> float:
    """The greatest difference on crops that lie across chunks, and at two corners."""
    image, result = open_zarr(folder / "image.zarr"), open_zarr(folder / f"{way}.zarr")
    side, chunk = result.shape[0], result.chunks[0]
    middles = {0, side, *range(chunk, side, chunk)[:: max(1, side // chunk // CROPS)]}
    half, worst = min(40, side // 4), 0.0
    for row, column in product(middles, repeat=2):
        window = (
            slice(max(0, row - half), min(side, row + half)),
            slice(max(0, column - half), min(side, column + half)),
        )
        found = result[window].astype(np.float64)
        worst = max(worst, float(np.abs(found - computed_whole(image, window)).max()))
    return worst


def compare(folder: Path, side: int, chunk: int, ways: list[str]) -> bool:
    print(f"{side} x {side} float32, {side * side * 4 / 1e9:.2f} GB, chunks of {chunk}: writing", flush=True)
    write_image(folder, side, chunk)
    is_right, first = True, None
    for way in ways:
        command = [sys.executable, "-m", "profiling.large_image", "--only", way, "--folder", str(folder)]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        took = json.loads(ended.stdout.splitlines()[-1])
        difference = differences(way, folder)
        is_right &= difference <= TOLERANCE
        first = first or took["seconds"]
        clock = f"{took['seconds']:8.1f} s {took['seconds'] / first:6.2f} times"
        used = f"{took['processor']:8.1f} s of processors {took['MiB']:7.0f} MiB"
        print(f"{way:12} {clock} {used}  off by {difference:.1e}", flush=True)
    return is_right


def parser() -> argparse.ArgumentParser:
    each = argparse.ArgumentParser("python -m profiling.large_image", description=__doc__.partition("\n")[0])
    each.add_argument("--side", type=int, default=40_000, help="rows and columns, a multiple of 4")
    each.add_argument("--chunk", type=int, default=2_000, help="rows and columns of a chunk, a multiple of 4")
    each.add_argument("--ways", nargs="+", choices=WAYS, default=["blocks", "slices"])
    each.add_argument("--folder", type=Path, help="where the arrays are written; a temporary one if left out")
    each.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    return each


def main(arguments: list[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    if given.only:
        run(given.only, given.folder)
        return 0
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        return 0 if compare(Path(folder), given.side, given.chunk, given.ways) else 1


if __name__ == "__main__":
    interrupts.leave("large_image", main)
