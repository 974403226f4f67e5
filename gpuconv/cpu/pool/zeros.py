"""The sign of a maximum that is zero: that of the first zero of its window, row by row.

The two zeros are equal, and vectors reduce a window in whatever order is quick. So an algorithm that has read
a negative zero, or cannot tell, has its results looked at again here: of a window whose greatest value is
zero, the first zero is the result. After a ReLU that is nearly always its first element.
"""

from gpuconv.cpu.engine.compiled import inner
from gpuconv.cpu.simd import noinline


@inner
def first_zero(image, h, v, rows, columns, row_step, column_step):
    """The first zero among image[h + r row_step, v + s column_step], of those that exist; or 0."""
    H, W = image.shape
    for r in range(rows):
        i = h + r * row_step
        if 0 <= i < H:
            for s in range(columns):
                j = v + s * column_step
                if 0 <= j < W and image[i, j] == 0:
                    return image[i, j]
    return image.dtype.type(0)


@inner
def settle_zeros(image, result, p_begin, p_end, kernel_size, pads, stride, dilation):
    """Each zero of these rows of results becomes the first zero of its window of the image."""
    noinline()
    for p in range(p_begin, p_end):
        h = p * stride[0] - pads[0]
        for q in range(result.shape[1]):
            if result[p, q] == 0:
                v = q * stride[1] - pads[1]
                result[p, q] = first_zero(
                    image, h, v, kernel_size[0], kernel_size[1], dilation[0], dilation[1]
                )
