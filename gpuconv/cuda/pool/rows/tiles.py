"""What a thread of `pool_rows` computes, and which windows are compiled in. Pure arithmetic."""

from dataclasses import dataclass

from gpuconv.cuda.device.limits import VECTOR_BYTES
from gpuconv.spec import PoolSpec
from gpuconv.spec.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64

THREADS = 128
BLOCKS_PER_SM: dict[str, int] = {FLOAT32: 4, FLOAT64: 3, FLOAT16: 4, BFLOAT16: 4}

# Two indices fill an access; eight outputs in each of seven rows are more than the compiler unrolls.
MOST_OUTPUTS = {"max": 4, "mean": 4, "argmax": 2}


@dataclass(frozen=True, slots=True)
class Window:
    """A window of R x R and its stride: what is compiled in."""

    R: int
    stride: int
    tile_p: int  # rows of output that a thread computes


WINDOWS = {(3, 1): Window(3, 1, 7), (3, 2): Window(3, 2, 4), (2, 2): Window(2, 2, 4)}


@dataclass(frozen=True, slots=True)
class RowsTile:
    """What a thread computes: `outputs` outputs in each of `tile_p` rows, from `columns` of its own."""

    window: Window
    result: str  # "max", "mean", or "argmax": the maxima and where they lie
    itemsize: int
    wide: bool

    @property
    def columns(self) -> int:
        if not self.wide:
            return self.window.stride
        return min(VECTOR_BYTES // self.itemsize, MOST_OUTPUTS[self.result] * self.window.stride)

    @property
    def outputs(self) -> int:
        return self.columns // self.window.stride

    @property
    def tile_p(self) -> int:
        return self.window.tile_p

    @property
    def rows(self) -> int:
        """Rows of the image that the thread loads."""
        return (self.tile_p - 1) * self.window.stride + self.window.R

    @property
    def left(self) -> int:
        """Columns that windows reach to the left of the thread's own."""
        return int(self.window.R == 3)

    @property
    def right(self) -> int:
        return self.window.R - self.window.stride - self.left

    def vectors(self, spec: PoolSpec) -> int:
        """Threads along a row of the output."""
        return -(-spec.Q // self.outputs)

    def plane_items(self, spec: PoolSpec) -> int:
        """Threads of a plane."""
        return -(-spec.P // self.tile_p) * self.vectors(spec)

    def items(self, spec: PoolSpec) -> int:
        """Threads that have something to compute."""
        return spec.N * spec.C * self.plane_items(spec)


def tile_for(spec: PoolSpec, wide: bool) -> RowsTile:
    """The tile for a problem, of whole aligned vectors if `wide`."""
    result = "argmax" if spec.return_indices else spec.reduction
    return RowsTile(WINDOWS[spec.R, spec.stride[0]], result, spec.itemsize, wide)
