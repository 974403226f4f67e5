"""How a convolution is cut into tiles that are transformed, and into batches that a workspace holds."""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from gpuconv.cpu.conv.fft.parts import block_of
from gpuconv.spec import ConvSpec

COMPLEX_BYTES = 16
NEAR = 1 << 19  # numbers of the spectra of a batch, 8 MiB: more would leave the caches


class Tile(NamedTuple):
    """Where a tile begins: its image, its first outputs (p, q), and how many of each there are."""

    n: int
    p: int
    q: int
    P: int
    Q: int


class Tiles(NamedTuple):
    """Tiles of H x W inputs, which give P x Q outputs, and how many of what are in the workspace at a time.

    `columns` is how many numbers the spectrum of a row of W numbers has. A window of one row needs no
    transform along columns.
    """

    H: int
    W: int
    P: int
    Q: int
    columns: int
    along_columns: bool
    groups: int
    K: int
    batch: int

    def each(self, spec: ConvSpec) -> Iterator[Tile]:
        for n, p, q in product(range(spec.N), range(0, spec.P, self.P), range(0, spec.Q, self.Q)):
            yield Tile(n, p, q, min(self.P, spec.P - p), min(self.Q, spec.Q - q))

    def count(self, spec: ConvSpec) -> int:
        return spec.N * -(-spec.P // self.P) * -(-spec.Q // self.Q)

    def passes(self, spec: ConvSpec) -> Iterator[tuple[slice, slice]]:
        """(groups, output channels of each) that are computed at a time: all tiles, one pass each."""
        for g, k in product(range(0, spec.groups, self.groups), range(0, spec.K_group, self.K)):
            yield slice(g, min(g + self.groups, spec.groups)), slice(k, min(k + self.K, spec.K_group))

    def needed(self, spec: ConvSpec) -> int:
        """Bytes of the spectra, and of the rows that a task holds."""
        C = spec.C_group
        spectra = self.groups * C * self.K + self.batch * self.groups * (C + self.K)
        rows = self.groups * max(C * block_of(spec.R), self.K) * self.W
        return COMPLEX_BYTES * spectra * self.spectrum + 8 * rows

    @property
    def spectrum(self) -> int:
        """Numbers of the spectrum of a tile."""
        return self.H * self.columns

    @property
    def stages(self) -> float:
        """Steps of a transform, of two numbers each."""
        return math.log2(max(2, (self.H if self.along_columns else 1) * self.W))


@lru_cache(maxsize=256)
def cut(spec: ConvSpec, limit: int) -> Tiles:
    """The tiles of least work whose spectra take at most `limit` bytes, or the smallest."""
    numbers, C = limit // COMPLEX_BYTES, spec.C_group
    most = numbers // (2 * C + 1)  # of a spectrum
    (down, right), is_row = spec.stride, spec.R == 1
    W = best_length(spec.S, spec.Q, right, min(2 * most // spec.R - 2, _square(most, spec)), even=True)
    columns = W // 2 + 1
    if is_row:
        P = max(1, min(spec.P, min(most, NEAR) // columns // down))
        H = (P - 1) * down + 1
    else:
        H = best_length(spec.R, spec.P, down, most // columns, even=False)
        P = (H - spec.R) // down + 1
    room, near = numbers // (H * columns), max(1, NEAR // (H * columns))  # in spectra
    K = max(1, min(spec.K_group, (room - C) // (C + 1)))
    of_group = C * K + C + K
    groups = 1 if spec.K_group > K else max(1, min(spec.groups, min(room, near) // of_group))
    batch = max(1, min(room - groups * C * K, near) // (groups * (C + K)))
    return Tiles(H, W, P, (W - spec.S) // right + 1, columns, not is_row, groups, K, batch)


def _square(most: int, spec: ConvSpec) -> int:
    """Of so many numbers of a spectrum, those of a row, if the tile is as much wider as the window is."""
    return max(spec.S, int(math.sqrt(2 * most * spec.S / spec.R)))


def best_length(taps: int, outputs: int, stride: int, most: int, even: bool) -> int:
    """The length of transforms that take the least work: up to `most`, or the least there is."""
    whole = (outputs - 1) * stride + taps

    def work(length: int) -> float:
        made = (length - taps) // stride + 1
        return -(-outputs // made) * length * (math.log2(length) + 4)

    long_enough = [each for each in lengths() if each >= taps and not (even and each % 2)]
    found = [each for each in long_enough if each <= most] or long_enough[:1]
    enough = next((i for i, each in enumerate(found) if each >= whole), len(found) - 1)
    return min(found[: enough + 1], key=work)


@lru_cache(maxsize=1)
def lengths() -> tuple[int, ...]:
    """Lengths that transforms are fast for: products of 2, 3 and 5, up to 2^14."""
    powers = product(range(15), range(9), range(7))
    made = (2**two * 3**three * 5**five for two, three, five in powers)
    return tuple(sorted(each for each in made if each <= 1 << 14))
