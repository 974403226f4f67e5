"""All shape arithmetic of one axis: how many outputs there are, and what named padding means."""

from typing import NamedTuple

import numpy as np

Pair = tuple[int, int]


class Axis(NamedTuple):
    """One axis of a problem: the image's extent and its pads, the window's taps, and its steps."""

    size: int
    taps: int
    pads: Pair = (0, 0)  # before and after
    stride: int = 1
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Elements from the first tap of a window to its last, both included."""
        return self.dilation * (self.taps - 1) + 1

    @property
    def padded(self) -> int:
        """Extent of the image with its padding."""
        return self.size + sum(self.pads)

    def outputs(self, ceil_mode: bool = False) -> int:
        """Windows along the axis; 0 or less where none fits.

        floor((size + before + after - dilation * (taps - 1) - 1) / stride) + 1, and with `ceil_mode` the
        ceiling instead, less a last window that would start beyond the image and its leading padding
        (PyTorch's pooling_output_shape).

        Examples
        --------
        >>> Axis(28, taps=3, pads=(2, 2), stride=2).outputs()
        15
        """
        span = self.padded - self.reach
        if not ceil_mode:
            return span // self.stride + 1
        count = -(-span // self.stride) + 1
        return count - 1 if (count - 1) * self.stride >= self.size + self.pads[0] else count

    def seen(self, outputs: Pair) -> Pair:
        """The places that windows reach from end to end, which may lie beyond the image.

        Examples
        --------
        >>> Axis(28, taps=3, pads=(1, 1), stride=2).seen((0, 2))
        (-1, 4)
        """
        first, last = outputs[0] * self.stride - self.pads[0], (outputs[1] - 1) * self.stride - self.pads[0]
        return first, last + self.reach

    @property
    def middle(self) -> int:
        """The place in the middle of the first window; of two the one before."""
        return (self.reach - 1) // 2 - self.pads[0]

    def taps_inside(self, outputs: int) -> tuple[np.ndarray, np.ndarray]:
        """Of each of so many windows the first tap that meets the image, and the one after the last.

        Examples
        --------
        >>> Axis(28, taps=3, pads=(1, 1)).taps_inside(3)
        (array([1, 0, 0]), array([3, 3, 3]))
        """
        begin = np.arange(outputs) * self.stride - self.pads[0]
        first = np.clip(-(begin // self.dilation), 0, self.taps)
        return first, np.clip(-((begin - self.size) // self.dilation), first, self.taps)


def no_padding(axis: Axis) -> Pair:
    """`padding="valid"`."""
    return 0, 0


def same_padding(axis: Axis) -> Pair:
    """TensorFlow's and JAX's "SAME": ceil(size / stride) outputs, the odd element of padding at the end."""
    covered = (-(-axis.size // axis.stride) - 1) * axis.stride + axis.reach
    total = max(covered - axis.size, 0)
    return total // 2, total - total // 2


def full_padding(axis: Axis) -> Pair:
    """Every overlap of window and image."""
    return axis.reach - 1, axis.reach - 1


NAMED_PADDING = {"valid": no_padding, "same": same_padding, "full": full_padding}
