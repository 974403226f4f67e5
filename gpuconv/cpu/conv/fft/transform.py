"""A convolution of tiles by their spectra, in three stages, each shared among the threads.

    rows       x, float32  ->  float64  ->  transforms along rows        a task: some rows of a tile
    columns    transforms along columns, products, and back              a task: some columns of all tiles
    results    transforms back along rows  ->  rounded  ->  y            a task: some rows of a tile

NumPy transforms without the GIL. Of rows and columns that are not there, or not wanted, there are no
transforms: zeros around an image, behind a window, and outputs between those of a stride.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gpuconv.cpu.conv.fft.parts import block_of
from gpuconv.cpu.conv.fft.tiles import Tile, Tiles
from gpuconv.cpu.engine.workspace import reserve
from gpuconv.spec import ConvSpec
from gpuconv.spec.dtypes import COMPLEX128, FLOAT64
from gpuconv.threads import share

CHUNK = 1 << 16  # numbers of what a task holds beside the spectra: it stays in a second-level cache
FEW_COLUMNS = 4  # complex numbers of a cache line
MULTIPLIED = 24  # input times output channels, from which products are one matrix product each
WORK = 8  # multiply-adds that take as long as to transform a number


class Spectra(NamedTuple):
    """Of x (batch, groups, C, H, columns), of y (batch, groups, K, H, columns), and memory for the weights'.

    These have one row where there is no transform along columns.
    """

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray


def spectra_of(spec: ConvSpec, tiles: Tiles) -> Spectra:
    """Where a call's spectra are kept, until the next call of this thread."""
    plane, C = (tiles.H, tiles.columns), spec.C_group
    of_x, of_y = (tiles.batch, tiles.groups, C, *plane), (tiles.batch, tiles.groups, tiles.K, *plane)
    filters = tiles.groups * tiles.K * C * tiles.columns * (tiles.H if tiles.along_columns else 1)
    sizes = math.prod(of_x), math.prod(of_y), filters
    x, y, w = reserve("conv_fft, spectra", COMPLEX128, *sizes)
    return Spectra(x.reshape(of_x), y.reshape(of_y), w)


def in_threads(task: Callable[[int], None], tasks: int, numbers: int) -> None:
    """Call `task(number)` of each, in as many threads as to transform so many numbers is worth."""
    tickets = itertools.count()  # next() of it is atomic

    def compute(counter: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            while (number := next(tickets)) < tasks:
                task(number)

    share(compute, tasks, WORK * numbers)


def transform_weights(tiles: Tiles, w: np.ndarray, storage: np.ndarray) -> np.ndarray:
    """The conjugate spectra of w (groups, K, C, R, S): (groups, K, C, H, columns), however they lie."""
    groups, K, C, R, S = w.shape
    H, W, columns = tiles.H if tiles.along_columns else 1, tiles.W, tiles.columns
    if K * C < MULTIPLIED:
        spectra = storage[: groups * K * C * H * columns].reshape(groups, K * C, H, columns)
    else:
        lying = storage[: groups * K * C * H * columns].reshape(groups, H, columns, K * C)
        spectra = lying.transpose(0, 3, 1, 2)
    planes = w.reshape(groups, K * C, R, S)
    some = max(1, CHUNK // (H * W))
    chunks = -(-K * C // some)

    def task(number: int) -> None:
        g, first = number // chunks, number % chunks * some
        chosen = planes[g, first : first + some]
        count = chosen.shape[0]
        (rows,) = reserve("conv_fft, rows", FLOAT64, count * R * W)
        rows = rows.reshape(count, R, W)
        rows[:, :, :S], rows[:, :, S:] = chosen, 0
        (part,) = reserve("conv_fft, planes", COMPLEX128, count * H * columns)
        part = part.reshape(count, H, columns)
        np.fft.rfft(rows, out=part[:, :R])
        part[:, R:] = 0
        if tiles.along_columns:
            part = np.fft.fft(part, axis=1)
        np.conjugate(part, out=spectra[g, first : first + some])

    in_threads(task, groups * chunks, spectra.size)
    return spectra.reshape(groups, K, C, H, columns)


class Seen(NamedTuple):
    """Sums of |x| in blocks, (batch, groups, C, rows, columns), of x^2 in chunks, (batch, groups, chunks)."""

    sums: np.ndarray
    squares: np.ndarray


def transform_rows(
    spec: ConvSpec, tiles: Tiles, batch: list[Tile], x: np.ndarray, spectrum: np.ndarray
) -> Seen:
    """The spectra of rows of some tiles of x (N, groups, C, H, W), and what their numbers are like."""
    groups, C = x.shape[1:3]
    high, wide = block_of(spec.R), block_of(spec.S)
    some = high * max(1, CHUNK // (groups * C * tiles.W * high))
    chunks = -(-tiles.H // some)
    sums = np.zeros((len(batch), groups, C, -(-tiles.H // high), -(-tiles.W // wide)))
    squares = np.zeros((len(batch), groups, chunks))

    def task(number: int) -> None:
        i, chunk = number // chunks, number % chunks
        first, last = chunk * some, min((chunk + 1) * some, tiles.H)
        part = spectrum[i, :groups, :, first:last]
        top = batch[i].p * spec.stride[0] - spec.pads[0][0]
        left = batch[i].q * spec.stride[1] - spec.pads[1][0]
        begin, end = max(first, -top), min(last, spec.H - top)
        start, stop = max(0, -left), min(tiles.W, spec.W - left)
        if begin >= end or start >= stop:
            part[...] = 0
            return
        (rows,) = reserve("conv_fft, rows", FLOAT64, groups * C * (last - first) * tiles.W)
        rows = rows.reshape(groups, C, last - first, tiles.W)
        inside = rows[:, :, begin - first : end - first]
        inside[..., :start] = inside[..., stop:] = 0
        inside[..., start:stop] = x[batch[i].n, :, :, top + begin : top + end, left + start : left + stop]
        part[:, :, : begin - first] = part[:, :, end - first :] = 0
        np.fft.rfft(inside, out=part[:, :, begin - first : end - first])
        squares[i, :, chunk] = np.einsum("gchw,gchw->g", inside, inside)
        np.abs(inside, out=inside)
        rows[:, :, : begin - first] = rows[:, :, end - first :] = 0
        of_rows = np.add.reduceat(rows, range(0, last - first, high), axis=2)
        at = first // high
        sums[i, :, :, at : at + of_rows.shape[2]] = np.add.reduceat(of_rows, range(0, tiles.W, wide), axis=3)

    in_threads(task, len(batch) * chunks, len(batch) * groups * C * tiles.H * tiles.W)
    return Seen(sums, squares)


def multiply(tiles: Tiles, spectra: Spectra, w: np.ndarray, batch: int) -> None:
    """The spectra of y, of rows alone, from those of x of rows alone and of the weights."""
    groups, K, C = w.shape[:3]
    some = max(FEW_COLUMNS, CHUNK // (batch * groups * (C + 2 * K) * tiles.H))
    chunks = -(-tiles.columns // some)
    x, y = spectra.x[:batch, :groups], spectra.y[:batch, :groups, :K]

    def task(number: int) -> None:
        columns = slice(number * some, (number + 1) * some)
        seen = x[..., columns]
        if tiles.along_columns:
            seen = np.fft.fft(seen, axis=-2)
        products = product_of(seen, w[..., columns])
        if tiles.along_columns:
            np.fft.ifft(products, axis=-2, out=y[..., columns])
        else:
            y[..., columns] = products

    in_threads(task, chunks, batch * groups * (C + K) * tiles.H * tiles.columns)


def product_of(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(batch, groups, K, H, columns) of x (batch, groups, C, ..) and w (groups, K, C, ..), summed over C."""
    C, K = w.shape[2], w.shape[1]
    if C * K < MULTIPLIED:
        total = x[:, :, None, 0] * w[None, :, :, 0]
        for c in range(1, C):
            total += x[:, :, None, c] * w[None, :, :, c]
        return total
    of_x = np.ascontiguousarray(x.transpose(1, 3, 4, 2, 0))
    product: np.ndarray = (w.transpose(0, 3, 4, 1, 2) @ of_x).transpose(4, 0, 3, 1, 2)
    return product


def store_results(
    spec: ConvSpec, tiles: Tiles, batch: list[Tile], spectrum: np.ndarray, errors: np.ndarray,
    bias: np.ndarray, y: np.ndarray,
) -> None:  # fmt: skip
    """y (N, groups, K, P, Q) from spectra of its rows, rounded to multiples of 2 to 4 `errors`."""
    groups, K = y.shape[1:3]
    down, right = spec.stride
    with np.errstate(all="ignore"):
        rounder = 1.5 * 2.0**52 * np.exp2(np.ceil(np.log2(2 * errors)))
    some = max(1, CHUNK // (groups * K * tiles.W))
    chunks = -(-tiles.P // some)
    is_added = bool(np.any(bias))

    def task(number: int) -> None:
        i, chunk = number // chunks, number % chunks
        tile = batch[i]
        first, last = chunk * some, min((chunk + 1) * some, tile.P)
        if first >= last:
            return
        (rows,) = reserve("conv_fft, rows", FLOAT64, groups * K * (last - first) * tiles.W)
        rows = rows.reshape(groups, K, last - first, tiles.W)
        made = spectrum[i, :groups, :K, first * down : (last - 1) * down + 1 : down]
        np.fft.irfft(made, n=tiles.W, out=rows)
        results = rows[..., : (tile.Q - 1) * right + 1 : right]
        about = rounder[i][:, :, None, None]
        results += about
        results -= about
        if is_added:
            results += bias[:, :, None, None]
        y[tile.n, :, :, tile.p + first : tile.p + last, tile.q : tile.q + tile.Q] = results

    in_threads(task, len(batch) * chunks, len(batch) * groups * K * tiles.P * tiles.W)
