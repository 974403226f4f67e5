"""Which problems each algorithm is given, and in which layouts."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.cuda.layouts.layouts import ALIGNED_NAMES, FAR, NAMES
from tests.cuda.layouts.problems import (
    Problem,
    adaptive,
    bias_gradient,
    convolution,
    deformed,
    folded,
    max_gradient,
    mean,
    mean_gradient,
    norm_gradient,
    norms,
    pool,
    transposed,
    unfolded,
    unpool,
    weight_gradient,
)

BRIEF = "rows on 8 bytes", "images an odd number apart", "channels last", "begins one element on"


class Case(NamedTuple):
    """A problem for the algorithms of these names, in layouts of these names.

    With `together`, all its arrays are laid alike, where the algorithm asks of each for itself how it lies;
    else one after the other. In layouts that are `far` all are.
    """

    name: str
    algorithms: Sequence[str]
    problem: Callable[[], Problem]
    layouts: Sequence[str] = NAMES
    together: bool = False
    far: Sequence[str] = ()

    def __str__(self) -> str:
        return self.name


def case(name: str, algorithms: str, problem: Callable[[], Problem], *more, **options) -> Case:
    return Case(name, algorithms.split(), problem, *more, **options)


ONE_LESS = ((1, 1), (1, 0))  # with windows of 3: a column less comes out than goes in
TWO_AND_ONE = ((2, 2), (2, 1))  # with windows of 5
DENSE = "conv_stem conv_winograd conv_implicit_gemm conv_tiled"
TENSOR_CORES = "conv_implicit_gemm_tf32 conv_implicit_gemm_3xtf32"
DEPTHWISE = "conv_depthwise conv_depthwise_window"

CASES: dict[str, tuple[Case, ...]] = {
    "conv": (
        case(
            "dense",
            DENSE,
            lambda: convolution((2, 4, 4, 12), (6, 4, 3, 3), padding=1),
            together=True,
            far=FAR,
        ),
        case(
            "dense, columns",
            DENSE,
            lambda: convolution((2, 4, 5, 13), (6, 4, 3, 3), padding=1),
            ALIGNED_NAMES,
            True,
        ),
        case("dense, pairs", DENSE, lambda: convolution((2, 4, 8, 12), (6, 4, 3, 3)), ALIGNED_NAMES, True),
        case(
            "one output",
            "conv_stem conv_tiled",
            lambda: convolution((2, 2, 6, 12), (1, 2, 3, 3), padding=1),
            BRIEF,
            True,
            FAR,
        ),
        case("pointwise", "conv_implicit_gemm", lambda: convolution((2, 4, 4, 8), (6, 4, 1, 1)), far=FAR),
        case(
            "pointwise, columns",
            "conv_implicit_gemm",
            lambda: convolution((2, 4, 4, 10), (6, 4, 1, 1)),
            ALIGNED_NAMES,
        ),
        case(
            "pointwise, pixels",
            "conv_implicit_gemm",
            lambda: convolution((2, 4, 3, 9), (6, 4, 1, 1)),
            ALIGNED_NAMES,
        ),
        case(
            "dense, on tensor cores",
            TENSOR_CORES,
            lambda: convolution((2, 4, 4, 12), (6, 4, 3, 3), padding=1, precision="tf32"),
            BRIEF,
            True,
            FAR,
        ),
        case(
            "pointwise, on tensor cores",
            TENSOR_CORES,
            lambda: convolution((2, 4, 4, 8), (6, 4, 1, 1), precision="tf32"),
            ALIGNED_NAMES,
            far=FAR,
        ),
        case(
            "deep",
            "conv_winograd conv_implicit_gemm",
            lambda: convolution((2, 32, 4, 8), (6, 32, 3, 3), padding=1),
            BRIEF,
            True,
            FAR,
        ),
        case(
            "deep, columns",
            "conv_winograd conv_implicit_gemm",
            lambda: convolution((2, 32, 3, 9), (6, 32, 3, 3), padding=1),
            ALIGNED_NAMES,
            True,
        ),
        case(
            "of 16 bits, whole pieces",
            "conv_packed_gemm",
            lambda: convolution((2, 8, 4, 12), (6, 8, 3, 3), "float16", padding=1),
            far=FAR,
        ),
        case(
            "of 16 bits, columns",
            "conv_packed_gemm",
            lambda: convolution((2, 5, 5, 13), (6, 5, 3, 3), "float16", padding=1),
        ),
        case(
            "depthwise",
            DEPTHWISE,
            lambda: convolution((2, 3, 5, 24), (3, 1, 3, 3), groups=3, padding=1),
            far=FAR,
        ),
        case(
            "depthwise, columns of x",
            DEPTHWISE,
            lambda: convolution((2, 3, 5, 25), (3, 1, 3, 3), groups=3, padding=ONE_LESS),
            ALIGNED_NAMES,
        ),
        case(
            "depthwise, columns of y",
            DEPTHWISE,
            lambda: convolution((2, 3, 5, 24), (3, 1, 3, 3), groups=3, padding=ONE_LESS),
            ALIGNED_NAMES,
        ),
        case(
            "depthwise, stride 2",
            "conv_depthwise",
            lambda: convolution((2, 3, 5, 40), (6, 1, 5, 5), groups=3, padding=2, stride=2),
        ),
        case(
            "residual",
            "conv_then_epilogue",
            lambda: convolution((2, 3, 4, 8), (5, 3, 3, 3), padding=1, residual=True),
            BRIEF,
            True,
            FAR,
        ),
        case(
            "mirrored",
            "conv_mirrored",
            lambda: convolution((2, 3, 4, 8), (5, 3, 3, 3), padding=1, padding_mode="reflect"),
            BRIEF[1:3],
            True,
        ),
    ),
    "conv_grad": (
        case(
            "stride 2",
            "conv_by_phases",
            lambda: transposed((2, 4, 4, 8), (4, 6, 3, 3), stride=2, padding=1, output_padding=1),
            BRIEF[1:3],
            True,
            FAR[:2],
        ),
        case(
            "groups",
            "conv_by_phases",
            lambda: transposed((2, 4, 4, 8), (4, 3, 3, 3), padding=1, groups=2),
            BRIEF,
            True,
        ),
    ),
    "conv_weight": (
        case(
            "3x3",
            "conv_weight_exchanged",
            lambda: weight_gradient((2, 4, 4, 8), (6, 4, 3, 3), (2, 6, 4, 8), padding=1),
            BRIEF,
            True,
            FAR[:2],
        ),
        case(
            "groups",
            "conv_weight_exchanged",
            lambda: weight_gradient((2, 4, 4, 8), (4, 2, 3, 3), (2, 4, 4, 8), padding=1, groups=2),
            BRIEF,
            True,
        ),
    ),
    "conv_bias": (
        case("plane", "bias_at_once bias_in_passes", lambda: bias_gradient((3, 4, 4, 8)), far=FAR),
        case("columns", "bias_at_once bias_in_passes", lambda: bias_gradient((3, 4, 5, 7)), ALIGNED_NAMES),
        case("complex", "bias_of_parts", lambda: bias_gradient((3, 2, 4, 6), "complex64"), BRIEF, far=FAR),
    ),
    "deform": (
        case("3x3", "deform_columns", lambda: deformed((2, 4, 4, 8), (6, 4, 3, 3)), BRIEF, True, FAR),
    ),
    "pool": (
        case(
            "3x3, stride 1",
            "pool_rows",
            lambda: pool("max", (2, 3, 5, 16), 3, stride=1, padding=1),
            far=FAR,
        ),
        case(
            "3x3, stride 1, columns",
            "pool_rows",
            lambda: pool("max", (2, 3, 5, 15), 3, stride=1, padding=1),
            ALIGNED_NAMES,
        ),
        case("3x3, stride 2", "pool_rows", lambda: mean((2, 3, 9, 32), 3, stride=2, padding=1), far=FAR),
        case(
            "3x3, stride 2, columns of y",
            "pool_rows",
            lambda: pool("max", (2, 3, 9, 12), 3, stride=2, padding=1),
            ALIGNED_NAMES,
        ),
        case("2x2, indices", "pool_rows", lambda: pool("max", (2, 3, 6, 16), 2, indices=True), far=FAR),
        case(
            "2x2, indices, columns",
            "pool_rows",
            lambda: pool("max", (2, 3, 6, 14), 2, indices=True),
            ALIGNED_NAMES,
        ),
        case("5x5", "pool_separable", lambda: pool("max", (2, 3, 6, 16), 5, stride=1, padding=2), far=FAR),
        case(
            "5x5, columns of x",
            "pool_separable",
            lambda: pool("max", (2, 3, 6, 17), 5, stride=1, padding=TWO_AND_ONE),
            ALIGNED_NAMES,
        ),
        case(
            "5x5, columns of y",
            "pool_separable",
            lambda: pool("max", (2, 3, 6, 16), 5, stride=1, padding=TWO_AND_ONE),
            ALIGNED_NAMES,
        ),
        case(
            "5x5, several planes of a tile",
            "pool_separable",
            lambda: pool("max", (2, 200, 4, 8), 5, stride=1, padding=2),
            BRIEF[1:3],
        ),
        case("5x5, means", "pool_separable", lambda: mean((2, 3, 6, 16), 5, stride=1, padding=2)),
        case("whole plane", "pool_global", lambda: mean((2, 5, 4, 8), (4, 8)), far=FAR),
        case("whole plane, columns", "pool_global", lambda: pool("max", (2, 5, 3, 9), (3, 9)), ALIGNED_NAMES),
        case(
            "whole plane, indices",
            "pool_global",
            lambda: pool("max", (2, 5, 4, 8), (4, 8), indices=True),
            far=FAR,
        ),
        case(
            "whole large plane",
            "pool_global",
            lambda: mean((1, 2, 40, 48), (40, 48)),
            ALIGNED_NAMES,
            far=FAR,
        ),
        case(
            "indices",
            "pool_direct",
            lambda: pool("max", (2, 3, 6, 16), 3, stride=2, dilation=2, indices=True),
            BRIEF,
            far=FAR,
        ),
        case("adaptive", "pool_direct", lambda: adaptive((2, 3, 5, 8), (3, 4)), BRIEF),
        case("least", "pool_direct", lambda: pool("min", (2, 3, 6, 16), 3, stride=2), BRIEF, far=FAR),
        case("means", "pool_direct", lambda: mean((2, 3, 6, 16), 3, stride=2), BRIEF, far=FAR),
        case("norms", "pool_norms", lambda: norms((2, 3, 4, 8), 2), BRIEF, far=FAR),
    ),
    "pool_grad": (
        case("3x3", "pool_shares", lambda: mean_gradient((2, 3, 4, 8), 3, 2, 1), BRIEF, far=FAR),
        case("norms", "norm_shares", lambda: norm_gradient((2, 3, 4, 8), 2), BRIEF, far=FAR),
    ),
    "scatter": (
        case("windows", "scatter", lambda: max_gradient((2, 3, 8, 8), kernel_size=2), BRIEF, far=FAR),
        case("anywhere", "scatter", lambda: unpool((2, 3, 4, 8)), BRIEF, far=FAR),
    ),
    "unfold": (
        case("unfold", "unfold", lambda: unfolded((2, 3, 4, 8), 3, padding=1), BRIEF, far=FAR),
        case("fold", "fold", lambda: folded((2, 3, 4, 8), 3, padding=1), BRIEF, far=FAR),
    ),
}
