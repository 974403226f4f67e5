"""How far a tile's results may be off, and which of its outputs are large enough for that.

A transform of n numbers is off by at most STEP log2(n) u of its Euclidean norm, u = 2^-53, and so is what it
gives of the spectra x and w of a tile, of which each number of y is a sum: by Cauchy and Schwarz, whatever
the output,

    |error|  <=  E  =  u (STEP log2(n) + C) |x| |w|        norms over the tile and the window, all channels

Sums are then rounded to multiples of a power of two from 2 E to 4 E, by which what is 0 becomes 0, and
integers become integers; in all they are off by 3 E. Trusted are those whose own products are so large that
this is within two roundings of float32:

    sum of |w| |x|  >=  2^25 E

which two bounds from below say, each of which is enough:

    the least |w| that is not 0, times the least |x| that is not 0       (a window of zeros alone gives 0)
    blocks of b x b inputs: the sum of their |x|, times the least |w| of the taps that may meet them

          taps of one axis   [. . . . . . . .|. . . . . . . .|. . . . . . . .|. .]       b outputs see a block
          block d                    d b - b + 1  ..  d b + b - 1                        by 2 b - 1 taps

Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., theorem 24.2, has 7 in place of STEP for each
of three transforms in the worst case, in which all roundings conspire; STEP was set by judgement.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gpuconv.cpu.conv.fft.parts import block_of
from gpuconv.cpu.conv.fft.tiles import Tile, Tiles
from gpuconv.spec import ConvSpec

UNIT = 2.0**-53
STEP = 4.0
TRUSTED = 2.0**25


class Weights(NamedTuple):
    """Of weights (groups, K, C, R, S): their norms and least magnitudes, (groups, K), and those of blocks.

    `blocks` is (groups, K, C rows columns), for blocks of inputs from number `first` of each axis on.
    """

    norms: np.ndarray
    least: np.ndarray
    blocks: np.ndarray
    shape: tuple[int, int]
    first: tuple[int, int]


class Grid(NamedTuple):
    """Blocks of inputs, and of outputs, of both axes of a tile: their sizes, and how many there are."""

    block: tuple[int, int]
    inputs: tuple[int, int]
    outputs: tuple[int, int]


def grid_of(spec: ConvSpec, tiles: Tiles) -> Grid:
    block = block_of(spec.R), block_of(spec.S)
    inputs = -(-tiles.H // block[0]), -(-tiles.W // block[1])
    reach = ((tiles.P - 1) * spec.stride[0] + 1, (tiles.Q - 1) * spec.stride[1] + 1)
    return Grid(block, inputs, (-(-reach[0] // block[0]), -(-reach[1] // block[1])))


def weights_of(spec: ConvSpec, w: np.ndarray) -> Weights:
    """What there is to know of the weights, in float64."""
    size = np.abs(w)
    norms = np.sqrt(np.einsum("gkcrs,gkcrs->gk", size, size))
    least = np.where(size > 0, size, np.inf).min((2, 3, 4), initial=np.inf)
    first, shape = [0, 0], [1, 1]
    for axis, taps in enumerate((spec.R, spec.S)):
        block = block_of(taps)
        first[axis], end = int(block > 1), taps // block
        shape[axis] = end - first[axis]
        cuts = [size.take(range(max(d * block - block + 1, 0), d * block + block), 3 + axis).min(3 + axis)
                for d in range(first[axis], end)]  # fmt: skip
        size = np.stack(cuts, 3 + axis)
    blocks = size.reshape(*size.shape[:2], -1)
    return Weights(norms, least, blocks, (shape[0], shape[1]), (first[0], first[1]))


def errors_of(spec: ConvSpec, tiles: Tiles, weights: Weights, squares: np.ndarray) -> np.ndarray:
    """E (batch, groups, K), of the sums of squares of each group of a tile, (batch, groups); or NaN."""
    scale = UNIT * (STEP * tiles.stages + spec.C_group)
    errors = scale * np.sqrt(squares)[:, :, None] * weights.norms
    return np.where(np.isfinite(errors), errors, np.nan)  # of which nothing is trusted


def trusted(grid: Grid, weights: Weights, sums: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Which blocks of outputs are trusted, of all channels: (batch, rows, columns).

    Of the blocks of inputs there are `sums` of |x|, (batch, groups, C, rows, columns).
    """
    batch, groups, C = sums.shape[:3]
    (rows, columns), (first, left) = grid.outputs, weights.first
    padded = np.zeros((batch, groups, C, rows + first + weights.shape[0], columns + left + weights.shape[1]))
    high, wide = (min(pair) for pair in zip(padded.shape[3:], sums.shape[3:], strict=True))
    padded[..., :high, :wide] = sums[..., :high, :wide]
    seen = np.lib.stride_tricks.sliding_window_view(padded[..., first:, left:], weights.shape, (3, 4))
    seen = seen[..., :rows, :columns, :, :].transpose(0, 1, 3, 4, 2, 5, 6)
    with np.errstate(all="ignore"):  # what is not finite is not trusted
        own = seen.reshape(batch, groups, rows * columns, -1) @ weights.blocks.swapaxes(1, 2)
        answer: np.ndarray = (own >= TRUSTED * errors[:, :, None]).all((1, 3))
    return answer.reshape(batch, rows, columns)


def in_range(
    spec: ConvSpec, tiles: Tiles, batch: list[Tile], x: np.ndarray, weights: Weights, errors: np.ndarray
) -> np.ndarray:
    """Which tiles of x (N, groups, C, H, W) are trusted for their range: (batch, 1, 1)."""
    answers = []
    for tile, error in zip(batch, errors, strict=True):
        top, left = tile.p * spec.stride[0] - spec.pads[0][0], tile.q * spec.stride[1] - spec.pads[1][0]
        seen = x[tile.n, :, :, max(top, 0) : top + tiles.H, max(left, 0) : left + tiles.W]
        size = np.abs(seen)
        least = size.min((1, 2, 3), initial=np.inf, where=size > 0).astype(np.float64)  # products overflow
        answers.append((least[:, None] * weights.least >= TRUSTED * error).all())
    return np.array(answers)[:, None, None]


def spoilt_outputs(
    spec: ConvSpec, tiles: Tiles, tile: Tile, bad: np.ndarray
) -> Iterator[tuple[int, range, range]]:
    """The image, and the rows and columns of outputs that hold all blocks that are bad, if they hold some."""
    outputs = []
    grid = grid_of(spec, tiles)
    for axis, (first, count) in enumerate(((tile.p, tile.P), (tile.q, tile.Q))):
        block, stride = grid.block[axis], spec.stride[axis]
        in_tile = -(-((count - 1) * stride + 1) // block)
        bad = bad.take(range(in_tile), axis)
        places = np.flatnonzero(bad.any(1 - axis))
        begin, end = (-(-int(each) * block // stride) for each in (places[:1].sum(), places[-1:].sum() + 1))
        outputs.append(range(first + begin, first + min(end, count)) if places.size else range(0))
    if all(outputs):
        rows, columns = outputs
        yield tile.n, rows, columns
