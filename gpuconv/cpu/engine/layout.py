"""How the elements of an array lie in memory, where a kernel takes whole vectors of them."""

import math

from gpuconv.spec.layouts import Layout


def in_rows(layout: Layout) -> bool:
    """The elements of a row lie side by side, and all strides are multiples of an element."""
    return column_step(layout) == 1


def column_step(layout: Layout) -> int:
    """How many elements the columns of a row lie apart; 0 if a stride is no multiple of an element."""
    size = layout.dtype.itemsize
    return 0 if any(stride % size for stride in layout.strides) else layout.strides[3] // size


def in_planes(layout: Layout) -> bool:
    """The rows of a plane do so, too."""
    return in_rows(layout) and layout.strides[2] == layout.shape[3] * layout.dtype.itemsize


def in_channels(layout: Layout) -> bool:
    """The channels of a pixel lie side by side, several of them, and the pixels of a row do not."""
    n, c, h, w = layout.strides
    size = layout.dtype.itemsize
    several = layout.shape[1] > 1 and layout.shape[3] * layout.shape[2] > 1
    return several and c == size and w != size and w % size == 0 and h % size == 0 and n % size == 0


def pixels_follow(layout: Layout) -> bool:
    """All pixels of all images lie equally far apart."""
    N, _, H, W = layout.shape
    n, _, h, w = layout.strides
    return (H == 1 or h == W * w) and (N == 1 or n == H * W * w)


def is_contiguous(layout: Layout) -> bool:
    """All elements follow each other in C order, as NumPy says: strides of axes of one element are free."""
    if 0 in layout.shape:
        return True
    axes = zip(layout.shape, layout.strides, plain_strides(layout), strict=True)
    return all(extent == 1 or stride == plain for extent, stride, plain in axes)


def plain_strides(layout: Layout) -> tuple[int, ...]:
    """The strides in bytes that the shape implies in C order."""
    return tuple(
        layout.dtype.itemsize * math.prod(layout.shape[axis + 1 :]) for axis in range(len(layout.shape))
    )


def reshaped(layout: Layout, *shape: int) -> Layout:
    """The layout of `array.reshape(shape)` for a contiguous array."""
    made = layout._replace(shape=shape)
    return made._replace(strides=plain_strides(made))
