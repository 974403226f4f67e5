"""Bands: the piece of the padded input that a block of outputs sees, copied so that taps are constant
offsets.

The rows of a band are dealt out to as many phases as the stride has rows, and its columns likewise, as in a
band for a stride of (1, 2):

    x, rows and columns around the image being zero        phase 0         phase 1
    0 0 0 0 0 ..                                            0 0 0 ..        0 0 ..
    0 a b c d ..            ->                              0 b d ..        a c ..
    0 e f g h ..                                            0 f h ..        e g ..

Then output (p, q) of the band sees tap (r, s) at element p pitch + q after a place that only depends on the
tap: row r dilation // stride, column s dilation // stride of the phases of the remainders. So a vector of
outputs reads a vector of the band, whatever the stride, dilation and padding, and no border needs a test.
"""

from dataclasses import dataclass

from gpuconv.cpu.engine.borders import quotient, taps_between
from gpuconv.cpu.engine.compiled import inner, merged
from gpuconv.cpu.simd import (
    LANES,
    even,
    lanes,
    load,
    load_apart,
    load_between,
    odd,
    pointer,
    pointer_after,
    store,
)  # fmt: skip
from gpuconv.spec import ConvSpec

BAND_BYTES = 24 << 10  # half of the smallest first-level cache, and a few images in a larger one
COLUMNS = 256  # of outputs, beyond which an image is cut


@dataclass(frozen=True, slots=True)
class Bands:
    """How the outputs of a convolution are cut into blocks, and how the band of a block lies in memory.

    Attributes
    ----------
    P, Q : int
        Rows and columns of outputs of a block.
    width : int
        Columns of a phase that they see.
    pitch, plane, size : int
        Elements from one row of a phase to the next, from one phase to the next, and of all phases of all
        channels of a group.
    """

    P: int
    Q: int
    width: int
    pitch: int
    plane: int
    size: int

    def tasks(self, spec: ConvSpec) -> int:
        """Blocks of all images and groups (see `block_of`)."""
        return spec.N * spec.groups * -(-spec.P // self.P) * -(-spec.Q // self.Q)

    def row(self, spec: ConvSpec, r: int) -> int:
        """Where tap r of the kernel's rows finds its first element."""
        tap, phases = r * spec.dilation[0], spec.stride[0]
        return tap % phases * spec.stride[1] * self.plane + tap // phases * self.pitch

    def column(self, spec: ConvSpec, s: int) -> int:
        """Where tap s of the kernel's columns finds its first element."""
        tap, phases = s * spec.dilation[1], spec.stride[1]
        return tap % phases * self.plane + tap // phases


def cut(spec: ConvSpec, rows: int, columns: int) -> Bands:
    """The bands for tiles of so many rows and columns of outputs."""
    reach_h, reach_w = (
        (taps - 1) * dilation // stride
        for taps, dilation, stride in zip((spec.R, spec.S), spec.dilation, spec.stride, strict=True)
    )
    phases = spec.stride[0] * spec.stride[1] * spec.C_group
    L = LANES[spec.dtype]
    Q = even_share(spec.Q, COLUMNS if reach_h < 20 else COLUMNS // 4, columns)
    pitch = -(-(Q + reach_w) // L) * L
    fit = BAND_BYTES // spec.itemsize // max(1, pitch * phases) - reach_h
    P = even_share(spec.P, max(fit, reach_h + 1), rows)
    plane = (P + reach_h) * pitch
    return Bands(P, Q, Q + reach_w, pitch, plane, plane * phases + columns)


def copied_by(spec: ConvSpec, bands: Bands, by_rows: bool) -> dict[str, float]:
    """What `load_band` does for all bands (`engine.cost`); `by_rows`: elements of a row lie side by side."""
    L, (stride_h, stride_w) = LANES[spec.dtype], spec.stride
    p_blocks, q_blocks = -(-spec.P // bands.P), -(-spec.Q // bands.Q)
    seen = spec.P * stride_h + p_blocks * ((spec.R - 1) * spec.dilation[0] + 1 - stride_h)
    rows = spec.N * spec.C * q_blocks * seen
    by_vectors = by_rows and stride_w <= 2
    vectors = rows * stride_w * -(-bands.width // L)
    return {
        "copied": vectors if by_vectors else 0,
        "elements": 0 if by_vectors else vectors * L,
        "rows": rows,
    }


def blocks_along(extent: int, block: int) -> list[tuple[int, int]]:
    """(outputs, blocks of so many) along an axis: whole blocks, and what is left."""
    whole, rest = divmod(extent, block)
    return [(block, whole), (rest, 1)] if rest else [(block, whole)]


def even_share(extent: int, most: int, step: int) -> int:
    """A multiple of step near `most`, such that the pieces of `extent` are about equal; at most extent."""
    pieces = -(-extent // max(step, most // step * step))
    return min(extent, -(-extent // (pieces * step)) * step)


@merged
def block_of(task, groups, block, P, Q):
    """(n, g, p, q, rows, columns) of task = ((n * groups + g) * p_blocks + p_block) * q_blocks + q_block.

    A block has block[0] x block[1] outputs from (p, q) on, or as many as there are.
    """
    p_blocks, q_blocks = -(-P // block[0]), -(-Q // block[1])
    rest, q = task // q_blocks, task % q_blocks * block[1]
    rest, p = rest // p_blocks, rest % p_blocks * block[0]
    return rest // groups, rest % groups, p, q, min(block[0], P - p), min(block[1], Q - q)


@merged
def load_band(band, begin, image, h, v, rows, width, stride, pitch, plane):
    """Copy rows h, h + 1, .. of an image, from column v on and zeros around it, to band[begin] and after it.

    Each row of a phase gets at least `width` elements, in whole vectors.
    """
    H, W = image.shape
    stride_h, stride_w = stride
    step = quotient(image.strides[0], image.itemsize)
    column_step = quotient(image.strides[1], image.itemsize)
    by_elements = (
        column_step * image.itemsize == image.strides[1] and step * image.itemsize == image.strides[0]
    )
    for phase in range(stride_h):
        first = h + phase
        count = max(0, quotient(rows - phase + stride_h - 1, stride_h))
        above, end = taps_between(first, count, stride_h, 0, H)
        for f in range(stride_w):
            to = pointer(band, begin + (phase * stride_w + f) * plane)
            clear_rows(to, pitch, 0, above, width)
            clear_rows(to, pitch, end, count, width)
        to = pointer(band, begin + phase * stride_w * plane + above * pitch)
        row = first + above * stride_h
        source, step_h, count = pointer(image, row * step), stride_h * step, end - above
        if by_elements and column_step == 1 and stride_w == 1:
            copy_rows(to, pitch, source, step_h, count, v, W, width)
        elif by_elements and column_step == 1 and stride_w == 2:
            deal_rows(to, plane, pitch, source, step_h, count, v, W, width)
        elif by_elements:
            for f in range(stride_w):
                source = pointer(image, row * step + (v + f) * column_step)
                seen = taps_between(v + f, width, stride_w, 0, W)
                gather_rows(
                    pointer_after(to, f * plane),
                    pitch,
                    source,
                    step_h,
                    count,
                    stride_w * column_step,
                    seen,
                    width,
                )
        else:
            for i in range(count):
                for f in range(stride_w):
                    to = begin + (phase * stride_w + f) * plane + (above + i) * pitch
                    for j in range(width):
                        column = v + j * stride_w + f
                        inside = 0 <= column < W
                        band[to + j] = image[row + i * stride_h, column] if inside else band.dtype.type(0)


@inner
def clear_rows(to, pitch, begin, end, width):
    """Rows begin <= i < end, zero."""
    for i in range(begin, end):
        j = 0
        while j < width:
            store(to, i * pitch + j, load_between(to, 0, 0, 0))
            j += lanes(to)


@inner
def copy_rows(to, pitch, row, step, count, v, W, width):
    """to[i pitch + j] = row[i step + v + j], zero where a row has no such element: it has W."""
    for _ in range(count):
        j = 0
        while j < width:
            store(to, j, load_inside(row, v + j, W))
            j += lanes(to)
        to, row = pointer_after(to, pitch), pointer_after(row, step)


@inner
def deal_rows(to, plane, pitch, row, step, count, v, W, width):
    """to[i pitch + j], to[plane + i pitch + j] = row[i step + v + 2 j + (0, 1)], or zero."""
    L = lanes(to)
    for _ in range(count):
        j = 0
        while j < width:
            first, second = load_inside(row, v + 2 * j, W), load_inside(row, v + 2 * j + L, W)
            store(to, j, even(first, second))
            store(to, plane + j, odd(first, second))
            j += L
        to, row = pointer_after(to, pitch), pointer_after(row, step)


@inner
def gather_rows(to, pitch, row, step, count, apart, seen, width):
    """to[i pitch + j] = row[i step + j apart] for seen[0] <= j < seen[1], and zero beside these."""
    for _ in range(count):
        for j in range(0, width, lanes(to)):
            store(to, j, load_apart(row, j * apart, apart, seen[0] - j, seen[1] - j))
        to, row = pointer_after(to, pitch), pointer_after(row, step)


@merged
def load_inside(row, v, W):
    """The vector row[v], row[v + 1], ..; zero, and not read, outside of the row's W elements."""
    if v >= 0 and v + lanes(row) <= W:
        return load(row, v)
    return load_between(row, v, -v, W - v)
