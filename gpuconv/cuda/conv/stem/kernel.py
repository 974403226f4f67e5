"""The kernels of `conv_stem`, by the shape of a thread's outputs: see `many.py` and `few.py`."""

from collections.abc import Callable

from gpuconv.cuda.conv.stem import few, many
from gpuconv.cuda.conv.stem.tiles import FEW, SHAPES, StemShape
from gpuconv.cuda.device.limits import LANES
from gpuconv.cuda.language import float32, int64, types
from gpuconv.cuda.runtime.compiled import Kernel


def make_kernel(shape: StemShape, make_function: Callable[[StemShape], Callable[..., None]]) -> Kernel:
    """The kernel for a shape."""
    pixels = shape.warps_p * LANES * shape.thread_rows * shape.thread_q
    return Kernel(
        f"conv_stem {shape.k}x{pixels}",
        lambda: make_function(shape),
        {
            types.CPointer(float32): "x w bias y",
            int64: "x_n x_c x_h x_w w_k w_c w_r w_s bias_k y_n y_k y_p y_q",
        },
        shape.threads,
        blocks_per_sm=3,
    )


KERNELS_BY_SHAPE = {
    **{shape: make_kernel(shape, many.make_function) for shape in SHAPES},
    FEW: make_kernel(FEW, few.make_function),
}
