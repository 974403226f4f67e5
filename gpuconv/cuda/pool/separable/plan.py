"""Which windows and layouts `pool_separable` takes, and how a problem becomes a launch."""

from gpuconv.cuda.device.division import DIVIDENDS, with_reciprocals
from gpuconv.cuda.device.limits import VECTOR_BYTES
from gpuconv.cuda.pool.means import mean_divisors
from gpuconv.cuda.pool.separable.chains import LONGEST
from gpuconv.cuda.pool.separable.kernel import KERNEL_OF
from gpuconv.cuda.pool.separable.tiles import (
    COUNT,
    MOST_PLANES,
    WIDEST,
    SeparableTile,
    is_chained,
    tile_for,
)
from gpuconv.cuda.pool.vectors import in_vectors
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch, steps
from gpuconv.spec import PoolSpec
from gpuconv.spec.layouts import Layout, PoolLayouts


def unsupported(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> str | None:
    if _longest_side(spec) >= 2**30:
        return "the image with its padding has a side of 2^30 or more"
    if spec.reduction == "mean" and max(spec.R, spec.S) > LONGEST:
        return f"a mean of more than {LONGEST} rows or columns would lose too much to rounding"
    if any(map(_is_far, (*layouts.x.elements[2:], *layouts.y.elements[2:]))):
        return "2^31 elements or more lie between neighbouring rows or columns"
    tile = tile_for(spec, gpu, 1, 1, False)
    if tile is None:
        return "the window is too large for a block's shared memory"
    if tile.blocks(spec) * tile.planes >= DIVIDENDS - MOST_PLANES:
        return "there are 2^31 tiles of planes, or more"
    return None


def _longest_side(spec: PoolSpec) -> int:
    """Of the image with its padding, or what its windows cover with those that only fill up a tile."""
    axes = zip(
        (spec.H, spec.W),
        spec.pads,
        (spec.P, spec.Q),
        (spec.R, spec.S),
        spec.stride,
        spec.dilation,
        strict=True,
    )
    return max(
        max(size + sum(pads), (count + WIDEST) * stride + taps * dilation)
        for size, pads, count, taps, stride, dilation in axes
    )


def worth(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> bool:
    # Predicted by `profiling.model`, not measured, in us on an H200, here : pool_direct, float32 maxima:
    # 32 x 256 x 14 x 14 with 5x5 9.6 : 63, 13x13 12.5 : 288; 64 x 112 x 112 with 5x5 4.1 : 36; 32 x 64 x 112
    # x 112 with 3x3 / 3 29 : 55, 5x5 / 2 54 : 268; 2048 x 2048 with 31x31 22 : 6169. On an L4 the first and
    # the last 50 : 130 and 127 : 13683. Windows of one tap have nothing to share.
    return spec.R * spec.S > 1


def plan(spec: PoolSpec, layouts: PoolLayouts, gpu: Gpu) -> Launch:
    x, y, _ = layouts
    vector = VECTOR_BYTES // spec.itemsize
    load = _widest(x, spec.W)
    wide = load == vector == _widest(y, spec.Q)
    together = _is_one_series(spec, x, y)
    tile = tile_for(spec, gpu, load, vector if wide else 1, together)
    if tile is None:  # vectors may need a little more
        load, wide = 1, False
        tile = tile_for(spec, gpu, 1, 1, together)
        assert tile is not None, "`unsupported` has found one"
    scalars = {**_geometry(spec, tile, x, y), **_extents(spec, tile, load), **mean_divisors(spec)}
    return Launch(KERNEL_OF[spec.dtype, spec.reduction, wide], tile.blocks(spec), tile.shared_bytes, scalars)


def _geometry(spec: PoolSpec, tile: SeparableTile, x: Layout, y: Layout) -> dict[str, int]:
    """Strides in elements, the problem, and where a block finds its tile."""
    (top, _), (left, _) = spec.pads
    divisors = {
        "C": spec.C,
        "tiles_across": -(-spec.Q // tile.tile_q),
        "tiles_down": -(-spec.P // tile.tile_p),
    }
    return {
        **steps(x_nchw=x.elements, y_ncpq=y.elements),
        "x_plane": x.elements[1] if tile.planes > 1 else 0,
        "y_plane": y.elements[1] if tile.planes > 1 else 0,
        **with_reciprocals(divisors),
        "H": spec.H, "W": spec.W, "P": spec.P, "Q": spec.Q, "R": spec.R, "S": spec.S,
        "stride_h": spec.stride[0], "stride_w": spec.stride[1],
        "dilation_h": spec.dilation[0], "dilation_w": spec.dilation[1],
        "h_origin": -top, "w_origin": -left,
        "planes_all": spec.N * spec.C, "planes_of_tile": tile.planes,
        "tile_p": tile.tile_p, "tile_q": tile.tile_q,
    }  # fmt: skip


def _extents(spec: PoolSpec, tile: SeparableTile, load: int) -> dict[str, int]:
    """What each step has to do, `load` elements to an access, and how the tile lies in shared memory."""
    top, is_whole = spec.pads[0][0], tile.tile_p >= spec.P
    chained_p, chained_q = map(is_chained, (spec.R, spec.S), spec.stride, spec.dilation)
    divisors = {
        "rows": tile.rows,
        "fill_rows": max(0, min(spec.H, tile.rows - top)) if is_whole else tile.rows,
        "accesses": tile.columns // load,
        "group_lanes": tile.group_lanes,
        "vector_lanes": tile.vector_lanes,
        "strips": -(-min(tile.tile_p, spec.P) // COUNT),
    }
    return {
        **with_reciprocals(divisors),
        "skipped": top if is_whole else 0,  # rows of padding
        "groups": tile.groups, "vectors": tile.vectors,
        "chained_p": int(chained_p), "chained_q": int(chained_q),
        "load": load, "lead": tile.lead, "pitch": tile.pitch, "step": spec.stride[1] // tile.phases,
        "mask": tile.phases - 1, "shift": tile.phases.bit_length() - 1, "phase_pitch": tile.phase_pitch,
        "lines": tile.lines, "lines_pitch": tile.lines_pitch,
    }  # fmt: skip


def _is_far(step: int) -> bool:
    return not -(2**31) <= step < 2**31


def _is_one_series(spec: PoolSpec, x: Layout, y: Layout) -> bool:
    """Whether planes follow each other at one distance of 32 bits, so that a tile may have several."""
    return all(
        not _is_far(planes) and (spec.N == 1 or images == spec.C * planes)
        for images, planes, *_ in (x.elements, y.elements)
    )


def _widest(layout: Layout, columns: int) -> int:
    """Elements of the widest accesses that rows of so many columns divide into, all aligned."""
    widths = VECTOR_BYTES // layout.dtype.itemsize, 2
    return next((width for width in widths if columns % width == 0 and in_vectors(layout, width)), 1)
