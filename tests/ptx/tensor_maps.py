"""Tensor maps: how bulk copies see an array. What hardware encodes in 128 opaque bytes, and here too.

The bytes are this tool's own encoding. A kernel only ever passes their address on.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .arguments import Pointer
from .faults import LaunchError, UninitialisedError
from .syntax import DTYPES

BYTES, ALIGNMENT = 128, 64
SWIZZLES = (32, 64, 128)
# magic, address, sizes, strides in bytes, box, element strides, corners, pixels,
# rank, kind of element, swizzle, whether out of bounds is NaN, whether im2col
_FORMAT = struct.Struct("<8sQ5I4Q5H5B6hH5B")
KINDS = ("u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f16", "bf16", "f32", "f64")
_MAGIC = b"ptx map\0"


@dataclass(frozen=True)
class Layout:
    """A tensor map as a copy uses it. All sequences begin with the innermost dimension.

    Attributes
    ----------
    address : int
        Of the first element.
    kind : str
        Type of the elements, of `KINDS`.
    sizes, strides, steps : tuple of int
        Elements, bytes from one to the next, and every how many one is copied, by dimension.
    box : tuple of int
        For tiles the extents of the box; for im2col channels, then ones.
    swizzle : int
        0, 32, 64 or 128.
    nan : bool
        Whether elements out of bounds become NaN rather than zero.
    lower, upper : tuple of int
        For im2col the corners of the bounding box; empty for tiles.
    pixels : int
        For im2col, how many are copied.
    """

    address: int
    kind: str
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    steps: tuple[int, ...]
    box: tuple[int, ...]
    swizzle: int = 0
    nan: bool = False
    lower: tuple[int, ...] = ()
    upper: tuple[int, ...] = ()
    pixels: int = 0

    @property
    def rank(self) -> int:
        return len(self.sizes)

    @property
    def itemsize(self) -> int:
        return DTYPES[self.kind].itemsize

    @property
    def im2col(self) -> bool:
        return self.pixels > 0


@dataclass(frozen=True)
class TensorMap:
    """An argument that a kernel receives as a tensor map: a pointer to it, or its 128 bytes."""

    pointer: Pointer
    layout: Layout
    size: int = BYTES

    def encode(self, address: int) -> bytes:
        """The 128 bytes, for an array that begins at `address` on the device."""
        if address % 16:
            raise LaunchError("a tensor must begin at a multiple of 16 bytes")
        x = self.layout

        def padded(values: tuple[int, ...], length: int) -> tuple[int, ...]:
            return tuple(values) + (0,) * (length - len(values))

        fields = padded(x.sizes, 5) + padded(x.strides[1:], 4) + padded(x.box, 5) + padded(x.steps, 5)
        corners = padded(x.lower, 3) + padded(x.upper, 3)
        flags = (x.rank, KINDS.index(x.kind), x.swizzle, x.nan, x.im2col)
        return _FORMAT.pack(_MAGIC, address, *fields, *corners, x.pixels, *flags).ljust(BYTES, b"\0")


@functools.lru_cache(maxsize=256)
def decode(data: bytes) -> Layout:
    """The layout that 128 bytes hold.

    Raises
    ------
    UninitialisedError
        If they are no tensor map.
    """
    magic, address, *rest = _FORMAT.unpack(data[: _FORMAT.size])
    if magic != _MAGIC:
        raise UninitialisedError("no tensor map at the address that a copy names")
    sizes, strides, box, steps = rest[:5], rest[5:9], rest[9:14], rest[14:19]
    lower, upper, pixels = rest[19:22], rest[22:25], rest[25]
    rank, kind, swizzle, nan, im2col = rest[26:]
    corners = rank - 2 if im2col else 0
    return Layout(
        address,
        KINDS[kind],
        tuple(sizes[:rank]),
        (DTYPES[KINDS[kind]].itemsize, *strides[: rank - 1]),
        tuple(steps[:rank]),
        tuple(box[:rank]),
        swizzle,
        bool(nan),
        tuple(lower[:corners]),
        tuple(upper[:corners]),
        pixels,
    )


def tensor_map(
    array: np.ndarray | Pointer,
    box: Sequence[int],
    *,
    element_strides: Sequence[int] | None = None,
    swizzle: int | None = None,
    fill: str = "zero",
) -> TensorMap:
    """An argument for ``cp.async.bulk.tensor`` in tiled mode: what ``cuTensorMapEncodeTiled`` makes.

    A kernel receives it as a pointer, as an array in Numba's ABI (through `numba_array`), or as a
    parameter of 128 bytes. Interleaved layouts are not supported.

    Parameters
    ----------
    array : ndarray or Pointer, 1 to 5 dimensions
        The tensor, or `out` of it. Its last dimension must be contiguous, the strides of the others
        multiples of 16 bytes.
    box : sequence of int
        Extents of a box, in the order of the array's dimensions, each from 1 to 256. (The kernel
        gives coordinates the other way round, innermost first.)
    element_strides : sequence of int, optional
        Every how many elements one is copied, from 1 to 8, for each dimension; 1 for the last.
        A box then yields ``ceil(box / element_strides)`` elements.
    swizzle : {None, 32, 64, 128}
        Width in bytes of the pattern in shared memory, which must be that of the box's last dimension.
    fill : {"zero", "nan"}
        What elements outside of the tensor become.

    Raises
    ------
    LaunchError

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(64, dtype=np.float32).reshape(8, 8)
    >>> tensor_map(x, (4, 4)).layout.sizes
    (8, 8)
    """
    given, layout = _checked(array, element_strides, swizzle, fill)
    box = _integers(box, given.array.ndim, 1, 256, "the box")
    return TensorMap(given, _with_box(layout, tuple(box[::-1]), swizzle))


def im2col_map(
    array: np.ndarray | Pointer,
    lower: Sequence[int],
    upper: Sequence[int],
    channels: int,
    pixels: int,
    *,
    element_strides: Sequence[int] | None = None,
    swizzle: int | None = None,
    fill: str = "zero",
) -> TensorMap:
    """An argument for ``cp.async.bulk.tensor`` in im2col mode: ``cuTensorMapEncodeIm2col``.

    Parameters
    ----------
    array : ndarray or Pointer, shape (N, ..., C)
        Images, with one to three spatial dimensions.
    lower, upper : sequence of int
        Corners of the box of base pixels, for each spatial dimension: the first base pixel, and the
        last one counted from the last pixel of the image. For a convolution these are ``-padding``
        and ``padding - dilation * (window - 1)``.
    channels, pixels : int
        How many a copy takes, at most 256 and 1024.
    element_strides, swizzle, fill
        As for `tensor_map`; the spatial strides are those of the convolution.

    Raises
    ------
    LaunchError

    Examples
    --------
    >>> import numpy as np
    >>> x = np.zeros((2, 8, 8, 16), np.float32)
    >>> im2col_map(x, (-1, -1), (-1, -1), channels=16, pixels=64).layout.lower
    (-1, -1)
    """
    given, layout = _checked(array, element_strides, swizzle, fill)
    rank = given.array.ndim
    if rank < 3:
        raise LaunchError(f"im2col needs 3 to 5 dimensions, not {rank}")
    limit = {3: 1 << 15, 4: 1 << 7, 5: 1 << 4}[rank]
    lower = _integers(lower, rank - 2, -limit, limit - 1, "the lower corner")
    upper = _integers(upper, rank - 2, -limit, limit - 1, "the upper corner")
    for low, high, size in zip(lower, upper, given.array.shape[1:-1], strict=True):
        if size - 1 + high < low:
            raise LaunchError(f"no base pixel lies between corners {low} and {high} of {size}")
    (pixels,) = _integers([pixels], 1, 1, 1024, "pixels")
    (channels,) = _integers([channels], 1, 1, 256, "channels")
    layout = _with_box(layout, (channels,) + (1,) * (rank - 1), swizzle)
    corners = {"lower": tuple(lower[::-1]), "upper": tuple(upper[::-1])}
    return TensorMap(given, replace(layout, pixels=pixels, **corners))


def _checked(
    array: np.ndarray | Pointer, element_strides: Sequence[int] | None, swizzle: int | None, fill: str
) -> tuple[Pointer, Layout]:
    """The pointer, and the layout without its box."""
    given = array if isinstance(array, Pointer) else Pointer(np.asarray(array))
    x = given.array
    kind = _kind(x.dtype)
    if not 1 <= x.ndim <= 5 or x.size == 0 or kind is None:
        raise LaunchError(f"no tensor map for an array {x.shape} of {x.dtype}")
    if x.strides[-1] != x.itemsize and x.shape[-1] > 1:
        raise LaunchError("the last dimension of a tensor must be contiguous")
    if any(stride % 16 or not 0 <= stride < 1 << 40 for stride in x.strides[:-1]):
        raise LaunchError(f"strides {x.strides} of a tensor: not multiples of 16 bytes below 2**40")
    steps = _integers([1] * x.ndim if element_strides is None else element_strides, x.ndim, 1, 8, "steps")
    if steps[-1] != 1:
        raise LaunchError("the last dimension of a tensor has no element stride")
    if fill not in ("zero", "nan") or (fill == "nan" and "f" not in kind):
        raise LaunchError(f"fill {fill!r} for {x.dtype}")
    if swizzle not in (None, *SWIZZLES):
        raise LaunchError(f"swizzle {swizzle!r}: not None, 32, 64 or 128")
    strides = (x.itemsize, *x.strides[-2::-1])
    sizes = tuple(x.shape[::-1])
    return given, Layout(0, kind, sizes, strides, tuple(steps[::-1]), (), swizzle or 0, fill == "nan")


def _kind(dtype: np.dtype) -> str | None:
    """The type of elements; bfloat16 is what NumPy takes for two opaque bytes."""
    if dtype.kind == "V" and dtype.itemsize == 2:
        return "bf16"
    kind = f"{'s' if dtype.kind == 'i' else dtype.kind}{8 * dtype.itemsize}"
    return kind if kind in KINDS else None


def _with_box(layout: Layout, box: tuple[int, ...], swizzle: int | None) -> Layout:
    inner = box[0] * layout.itemsize
    if inner % 16:
        raise LaunchError(f"the last dimension of a box has {inner} bytes: not a multiple of 16")
    if swizzle is not None and inner != swizzle:
        raise LaunchError(f"the last dimension of a box has {inner} bytes, the swizzle {swizzle}")
    return replace(layout, box=box)


def _integers(values: Sequence[int], count: int, low: int, high: int, what: str) -> list[int]:
    values = [int(value) for value in values]
    if len(values) != count or any(not low <= value <= high for value in values):
        raise LaunchError(f"{what} {values}: {count} numbers from {low} to {high} are needed")
    return values
