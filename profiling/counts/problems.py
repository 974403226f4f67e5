"""The problems that the kernels are counted on: small, and enough to reach every kernel."""

from collections.abc import Iterator
from dataclasses import replace

from gpuconv.cuda.conv.depthwise_window.tiles import SHAPES
from gpuconv.cuda.conv.implicit_gemm.tiles import ALL_TILES, GemmChoice
from gpuconv.cuda.conv.packed_gemm.tiles import TILES as PACKED_TILES
from gpuconv.cuda.conv.packed_gemm.tiles import PackedChoice
from gpuconv.spec import ConvSpec, Spec
from gpuconv.spec.dtypes import FLOAT16
from profiling.workloads import convolution, pool

REDUCTIONS = "max", "mean"


def depthwise_problems() -> Iterator[ConvSpec]:
    """Problems with each kernel and stride that is compiled in, for wide and narrow lanes, and another."""
    for extent in (3, 5, 7):
        yield from (convolution(1, 4, (16, columns), 4, extent, groups=4) for columns in (16, 64))
        yield convolution(1, 4, (16, 64), 4, extent, stride=2, groups=4)
        unaligned = ((extent // 2 - 1, extent // 2),) * 2
        yield replace(convolution(1, 4, (16, 32), 4, extent, stride=2, groups=4), pads=unaligned)
    yield convolution(1, 4, (16, 64), 4, 1, groups=4)


# Small, and aligned: whole tiles, rows that begin with a sector.
PROBLEMS: tuple[Spec, ...] = (
    convolution(1, 8, (16, 64), 32, 3),
    convolution(1, 4, 16, 32, 3),  # a warp spans two rows
    convolution(1, 4, (16, 128), 32, 3, stride=2),
    convolution(1, 8, (16, 64), 4, 3),
    convolution(1, 4, (16, 64), 4, 3, groups=4),
    *depthwise_problems(),
    *(convolution(1, 2, (16, 64), K, 5, stride) for K in (8, 16, 32) for stride in (1, 2)),  # of few channels
    *(convolution(1, 1, (32, 192), 1, 9, stride) for stride in (1, 2)),
    pool("max", 1, 4, 64, 3, stride=1, pad=1),
    pool("max", 1, 4, 64, 2),
    pool("mean", 1, 4, 64, 3, stride=1, pad=1),
    pool("mean", 1, 4, 64, 2),
    *(pool(reduction, 1, 4, 64, 3, stride=2, pad=1) for reduction in REDUCTIONS),
    *(pool(reduction, 1, 4, 66, 3, stride=1) for reduction in REDUCTIONS),  # rows that begin anywhere
    *(replace(pool(reduction, 1, 4, 64, 3, stride=2), pads=((0, 1), (0, 1))) for reduction in REDUCTIONS),
    *(replace(pool(reduction, 1, 4, 64, 2), pads=((1, 0), (1, 0))) for reduction in REDUCTIONS),
    *(
        pool(reduction, 1, 32, 16, window) for reduction in REDUCTIONS for window in (16, 15)
    ),  # one for each plane
    *(pool(reduction, 1, 4, 48, window) for reduction in REDUCTIONS for window in (48, 47)),
)
# One block, or a few: whole tiles, and every kernel of the implicit GEMM.
GEMM_CHOICES = tuple(
    (convolution(1, 32, (8, 32), tile.k, kernel), GemmChoice(tile, splits))
    for tile in ALL_TILES
    for kernel, splits in ((3, 1), (1, 1), (3, 2))
)

# Likewise of 16 bits on tensor cores, rounded and unrounded.
PACKED_CHOICES = tuple(
    (
        replace(convolution(1, 64, (8, 32), tile.k, 3), dtype=FLOAT16, unrounded=unrounded),
        PackedChoice(tile, splits),
    )
    for tile in PACKED_TILES
    for unrounded, splits in ((False, 1), (True, 1), (False, 3), (True, 3))
)

# Whole tiles of one block, and every kernel for any depthwise window.
WINDOW_CHOICES = tuple(
    (replace(convolution(1, 4, (64, 32), 4, 9, stride, groups=4), dtype=dtype), shape)
    for dtype, shapes in SHAPES.items()
    for shape in shapes
    for stride in (1, 2)
)


def variants(spec: Spec) -> list[Spec]:
    """The spec, and a maximum with indices too."""
    if isinstance(spec, ConvSpec) or spec.reduction != "max":
        return [spec]
    return [spec, replace(spec, return_indices=True)]
