"""Which windows `pool_rows` takes, and how a problem becomes a launch."""

import itertools

from gpuconv.cuda.device.division import DIVIDENDS, with_reciprocals
from gpuconv.cuda.pool.means import mean_divisors
from gpuconv.cuda.pool.rows.kernel import KERNEL_OF
from gpuconv.cuda.pool.rows.tiles import THREADS, WINDOWS, tile_for
from gpuconv.cuda.pool.vectors import in_vectors
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import PoolLayouts


def unsupported(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> str | None:
    square = spec.R == spec.S and spec.stride[0] == spec.stride[1] and spec.dilation == (1, 1)
    if not square or (spec.R, spec.stride[0]) not in WINDOWS:
        return "it takes windows of 2x2 and 3x3 with stride 2 and of 3x3 with stride 1, not dilated"
    if max(itertools.chain(*spec.pads)) > spec.R // 2:
        return "the padding is more than half of the window"
    if spec.H == 0 or spec.W == 0:
        return "the image is empty"
    if max(spec.H, spec.W) >= 2**30 or spec.H * spec.W >= 2**32 - 1:
        return "the image has a side of 2^30 or 2^32 elements or more"
    if max(spec.N * spec.C, tile_for(spec, wide=False).items(spec) + THREADS) >= DIVIDENDS:
        return "there are 2^31 planes, or parts of them for one thread, or more"
    return None


def worth(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> bool:
    # Counted, not measured, on planes of 64 x 64, float32, max 3 / 1, 3 / 2 and 2 / 2: here 24, 54 and 34
    # instructions of PTX an output, 1, 7 and 5 of them for -0, and 1.14, 1.09 and 1.00 times the least bytes;
    # pool_direct 600, 600 and 380, and 4.9, 2.0 and 1.0.
    return True


def plan(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> Launch:
    (top, _), (left, _) = spec.pads
    x, y, indices = layouts
    tile = tile_for(spec, wide=True)
    aligned = left == tile.left and spec.W % tile.columns == 0
    if not (aligned and in_vectors(x, tile.columns)):
        tile = tile_for(spec, wide=False)
    y_vectors = all(in_vectors(each, tile.outputs) for each in (y, indices) if each is not None)
    items = tile.items(spec)
    divisors = with_reciprocals(
        {"plane_items": tile.plane_items(spec), "vectors": tile.vectors(spec), "C": spec.C}
    )
    scalars = {
        **steps(x_nchw=x.elements, y_ncpq=y.elements), **divisors, "items": items,
        "H": spec.H, "W": spec.W, "P": spec.P, "Q": spec.Q, "h_origin": -top, "w_origin": -left,
        "y_vectors": int(y_vectors),
        **(mean_divisors(spec) if indices is None else steps(i_ncpq=indices.elements)),
    }  # fmt: skip
    return Launch(KERNEL_OF[spec.dtype, tile], -(-items // THREADS), 0, scalars)
