"""The problems that every algorithm of every backend is tried on, as readable lists, and the data for them.

Integer-valued data makes every sum exact, in any order and with or without fused multiply-add, so results
are compared for equality; random data and data of strong dynamic range are compared within
`reference.error_bound`. A case marked `large` has more outputs than an executor of GPU code on the CPU gets
through quickly.
"""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from gpuconv.spec import ConvSpec, PoolSpec, of_transposed
from gpuconv.spec.dtypes import BYTES, CONVOLVED, FLOATS, POOLED
from tests import reference

DTYPES = tuple(map(str, FLOATS))
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)  # NumPy knows it by its name from here on
CONV_DTYPES = tuple(map(str, CONVOLVED))
POOL_DTYPES = tuple(map(str, POOLED))
REDUCTIONS = {"max": "max", "avg": "mean"}  # of max_pool2d and avg_pool2d


@dataclass(frozen=True)
class ConvCase:
    """One call of conv2d: shapes and parameters. `x` is (N, C, H, W), `w` is (K, C / groups, R, S)."""

    name: str
    x: tuple[int, int, int, int]
    w: tuple[int, int, int, int]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    bias: bool = False
    large: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups")}

    def spec(self, dtype: str = "float32") -> ConvSpec:
        return ConvSpec.from_arrays(*self.arrays(dtype, zeros), **self.parameters)

    def arrays(self, dtype: str, make) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """(x, w, bias) from one of the makers below."""
        bias = make(self.w[:1], result_of(dtype), 3) if self.bias else None
        return make(self.x, dtype, 1), make(self.w, dtype, 2), bias

    def expected(self, x, w, bias) -> np.ndarray:
        return reference.conv2d(x, w, bias, **self.parameters)


@dataclass(frozen=True)
class PoolCase:
    """One call of max_pool2d or avg_pool2d; the last two parameters mean something to "avg" alone."""

    name: str
    op: str
    x: tuple[int, int, int, int]
    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None
    large: bool = False

    def __str__(self) -> str:
        return f"{self.op}, {self.name}"

    @property
    def reduction(self) -> str:
        return REDUCTIONS[self.op]

    @property
    def parameters(self) -> dict[str, Any]:
        own = ("dilation",) if self.op == "max" else ("count_include_pad", "divisor_override")
        return {name: getattr(self, name) for name in ("kernel_size", "stride", "padding", "ceil_mode", *own)}

    def spec(self, dtype: str = "float32", return_indices: bool = False) -> PoolSpec:
        arguments = {**self.parameters, "return_indices": return_indices}
        return PoolSpec.from_arrays(self.reduction, zeros(self.x, dtype), **arguments)

    def expected(self, x) -> np.ndarray:
        """The values; the indices of "max" are `reference.max_pool2d(x, **case.parameters)[1]`."""
        if self.op == "max":
            return reference.max_pool2d(x, **self.parameters)[0]
        return reference.avg_pool2d(x, **self.parameters)


def equal(found, expected) -> None:
    """Assert that arrays of one dtype are equal, NaN to NaN, which NumPy does not know of bfloat16."""
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(*(array.astype(np.float64) for array in (found, expected)), strict=True)


def zeros(shape, dtype, seed=0) -> np.ndarray:
    return np.zeros(shape, dtype)


def integers(shape, dtype, seed=0) -> np.ndarray:
    """Whole numbers from -4 to 4: a sum of fewer than 2^20 products of two of them is exact in float32.

    So are both parts of complex numbers; of 8 bits they are any.
    """
    random = np.random.default_rng(seed)
    if dtype in BYTES:
        return random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape).astype(dtype)
    values = random.integers(-4, 5, shape) + (4 if np.dtype(dtype).kind == "u" else 0)
    return (values + 1j * random.integers(-4, 5, shape) if _is_complex(dtype) else values).astype(dtype)


def normal(shape, dtype, seed=0) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape)
    return (values + 1j * random.standard_normal(shape) if _is_complex(dtype) else values).astype(dtype)


def _is_complex(dtype) -> bool:
    return np.dtype(dtype).kind == "c"


def result_of(dtype) -> Any:
    """The dtype of the bias and the result of a convolution."""
    return "int32" if dtype in BYTES else dtype


def dynamic_range(shape, dtype, seed=0) -> np.ndarray:
    """Both signs, and magnitudes e^{3 N(0,1)}, at most 2^13: ten orders of magnitude side by side."""
    values = np.random.default_rng(seed).standard_normal((2, *shape))
    return (np.sign(values[0]) * np.exp(3 * values[1]).clip(None, 2**13)).astype(dtype)


@dataclass(frozen=True)
class TransposedCase(ConvCase):
    """One call of conv_transpose2d: `x` is (N, C, H, W), `w` is (C, K / groups, R, S)."""

    output_padding: Any = 0
    output_size: Any = None

    @property
    def parameters(self) -> dict[str, Any]:
        return {**super().parameters, "output_padding": self.output_padding, "output_size": self.output_size}

    def spec(self, dtype: str = "float32") -> ConvSpec:
        return of_transposed(*self.arrays(dtype, zeros), **self.parameters)

    def arrays(self, dtype: str, make) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        bias = make((self.w[1] * self.groups,), result_of(dtype), 3) if self.bias else None
        return make(self.x, dtype, 1), make(self.w, dtype, 2), bias

    def expected(self, x, w, bias) -> np.ndarray:
        return reference.conv_transpose2d(x, w, bias, **self.parameters)


TRANSPOSED_CASES = (
    TransposedCase("stride 1", (2, 3, 6, 7), (3, 5, 3, 3), padding=1, bias=True),
    TransposedCase("U-Net's 2x2 at stride 2", (2, 6, 5, 4), (6, 3, 2, 2), stride=2, bias=True),
    TransposedCase("DCGAN's 4x4 at stride 2", (1, 4, 5, 6), (4, 3, 4, 4), stride=2, padding=1),
    TransposedCase("stride beyond the kernel", (1, 2, 3, 4), (2, 3, 2, 1), stride=(3, 4), bias=True),
    TransposedCase("output padding", (1, 2, 4, 3), (2, 2, 3, 3), 2, 1, output_padding=(1, 0), bias=True),
    TransposedCase("output padding beyond the stride", (1, 2, 4, 3), (2, 2, 3, 2), 1, 0, 3, output_padding=2),
    TransposedCase("output size", (1, 2, 4, 3), (2, 2, 3, 3), 3, 1, output_size=(12, 7)),
    TransposedCase("dilation", (2, 3, 5, 4), (3, 2, 3, 2), padding=2, dilation=(2, 3)),
    TransposedCase("stride and dilation alike", (1, 2, 5, 4), (2, 3, 3, 2), 2, dilation=2, bias=True),
    TransposedCase("stride 6 and dilation 4", (1, 2, 4, 3), (2, 2, 4, 3), (6, 4), (3, 2), (4, 6), bias=True),
    TransposedCase("groups", (2, 6, 4, 5), (6, 2, 3, 3), 2, 1, groups=3, bias=True),
    TransposedCase("groups of one output channel", (1, 6, 4, 5), (6, 1, 3, 2), (1, 2), groups=2, bias=True),
    TransposedCase("depthwise", (2, 4, 6, 5), (4, 1, 3, 3), 2, 1, groups=4, bias=True),
    TransposedCase("depthwise, multiplier 3", (1, 2, 5, 4), (2, 3, 3, 3), groups=2),
    TransposedCase("four sides", (1, 2, 6, 5), (2, 3, 4, 3), 2, ((0, 3), (2, 1)), bias=True),
    TransposedCase("more padding than the kernel reaches", (1, 2, 9, 8), (2, 2, 2, 1), 1, (3, 2), bias=True),
    TransposedCase("same", (1, 3, 4, 5), (3, 2, 3, 2), (2, 3), "same", bias=True),
    TransposedCase("same, stride beyond the kernel", (1, 3, 4, 5), (3, 2, 1, 2), (2, 3), "same", bias=True),
    TransposedCase("full", (1, 2, 6, 7), (2, 3, 3, 2), padding="full"),
    TransposedCase("many channels", (1, 40, 10, 9), (40, 36, 3, 3), padding=1, bias=True),
    TransposedCase("1x1", (1, 5, 3, 4), (5, 6, 1, 1), bias=True),
    TransposedCase("one pixel", (1, 3, 1, 1), (3, 4, 3, 5), bias=True),
    TransposedCase("no images", (0, 3, 4, 4), (3, 2, 3, 3), stride=2, bias=True),
    TransposedCase("no input channels", (1, 0, 3, 4), (0, 2, 3, 3), bias=True),
    TransposedCase("no output channels", (1, 2, 3, 4), (2, 0, 3, 3)),
)

CONV_CASES = (
    ConvCase("odd", (2, 3, 7, 9), (5, 3, 3, 3), padding=1, bias=True),
    ConvCase("even", (2, 4, 8, 6), (6, 4, 2, 4), padding=1),
    ConvCase("one pixel", (1, 1, 1, 1), (1, 1, 1, 1), bias=True),
    ConvCase("one output", (2, 3, 4, 5), (3, 3, 4, 5), bias=True),
    ConvCase("padding alone but for one pixel", (1, 2, 1, 1), (3, 2, 3, 3), padding=2),
    ConvCase("no images", (0, 3, 5, 5), (2, 3, 3, 3), bias=True),
    ConvCase("no input channels", (2, 0, 5, 5), (3, 0, 3, 3), bias=True),
    ConvCase("no output channels", (2, 3, 5, 5), (0, 3, 3, 3), bias=True),
    ConvCase("no rows but padding", (1, 2, 0, 4), (3, 2, 2, 3), padding=(2, 1), bias=True),
    ConvCase("no columns but padding", (1, 2, 4, 0), (3, 2, 3, 2), padding=(0, 1)),
    ConvCase("stride 2", (2, 3, 9, 8), (4, 3, 3, 3), stride=2, padding=1, bias=True),
    ConvCase("stride (3, 2)", (1, 2, 11, 7), (3, 2, 3, 2), stride=(3, 2)),
    ConvCase("stride beyond the kernel", (1, 2, 13, 14), (3, 2, 2, 2), stride=(5, 4)),
    ConvCase("dilation 2", (2, 3, 9, 10), (4, 3, 3, 3), dilation=2, padding=2),
    ConvCase("dilation (3, 1)", (1, 2, 10, 6), (2, 2, 3, 4), dilation=(3, 1), bias=True),
    ConvCase("stride and dilation", (1, 3, 12, 13), (2, 3, 3, 2), stride=(2, 3), dilation=(2, 3), padding=3),
    ConvCase("groups", (2, 6, 6, 7), (4, 3, 3, 3), groups=2, padding=1, bias=True),
    ConvCase("groups of one output", (1, 9, 5, 5), (3, 3, 2, 2), groups=3),
    ConvCase("depthwise", (2, 5, 8, 7), (5, 1, 3, 3), groups=5, padding=1, bias=True),
    ConvCase("depthwise, stride 2", (1, 4, 9, 9), (4, 1, 5, 5), groups=4, stride=2, padding=2),
    ConvCase("depthwise, multiplier 3", (2, 3, 6, 6), (9, 1, 3, 3), groups=3, padding=1, bias=True),
    ConvCase("depthwise, dilated", (1, 3, 9, 8), (6, 1, 3, 3), groups=3, dilation=2, padding=(2, 1)),
    ConvCase("four sides", (2, 2, 5, 6), (3, 2, 3, 3), padding=((2, 0), (1, 3)), bias=True),
    ConvCase("four sides, stride 2", (1, 2, 6, 5), (3, 2, 4, 3), padding=((0, 3), (2, 1)), stride=2),
    ConvCase("padding on one side beyond the kernel", (1, 1, 3, 4), (2, 1, 2, 2), padding=((5, 0), (0, 4))),
    ConvCase("same, even kernel", (1, 2, 5, 6), (3, 2, 2, 4), padding="same"),
    ConvCase("same, stride 2", (1, 2, 7, 8), (3, 2, 3, 3), padding="same", stride=2, bias=True),
    ConvCase(
        "same, stride (3, 2), dilated", (1, 2, 8, 9), (3, 2, 4, 3), padding="same", stride=(3, 2), dilation=2
    ),
    ConvCase("same, stride beyond the kernel", (1, 2, 7, 7), (2, 2, 1, 2), padding="same", stride=3),
    ConvCase("full", (1, 2, 4, 5), (3, 2, 3, 2), padding="full"),
    ConvCase("full, dilated", (1, 1, 3, 4), (2, 1, 2, 3), padding="full", dilation=(2, 1), bias=True),
    ConvCase("valid", (1, 2, 4, 5), (3, 2, 3, 2), padding="valid"),
    ConvCase("kernel 7x7, stride 2", (1, 3, 15, 16), (4, 3, 7, 7), stride=2, padding=3, bias=True),
    ConvCase("kernel 11x5", (1, 2, 14, 9), (2, 2, 11, 5), padding=(5, 2)),
    ConvCase("1x1", (2, 5, 6, 7), (7, 5, 1, 1), bias=True),
    ConvCase("1x1, stride 2", (2, 5, 7, 6), (7, 5, 1, 1), stride=2),
    ConvCase("1x1, padded", (1, 3, 3, 4), (4, 3, 1, 1), padding=((1, 2), (0, 1)), bias=True),
    ConvCase("1xS", (1, 3, 4, 9), (2, 3, 1, 5), padding=(0, 2)),
    ConvCase("Rx1", (1, 3, 9, 4), (2, 3, 5, 1), padding=(2, 0)),
    ConvCase("wide", (1, 2, 2, 150), (3, 2, 2, 3), padding=(0, 1)),
    ConvCase("tall", (1, 2, 150, 2), (3, 2, 3, 2), padding=(1, 0), bias=True),
    ConvCase("17 of 19 channels", (1, 19, 5, 6), (17, 19, 3, 3), padding=1, bias=True),
    ConvCase("33 of 35 channels, 1x1", (2, 35, 4, 5), (33, 35, 1, 1), bias=True),
    ConvCase("37 channels in 2 groups", (1, 38, 5, 5), (74, 19, 2, 3), groups=2, large=True),
    ConvCase("130 of 70 channels", (1, 70, 6, 5), (130, 70, 3, 3), padding=1, bias=True, large=True),
    ConvCase("more than one tile each way", (2, 5, 41, 67), (9, 5, 3, 3), padding=1, bias=True, large=True),
    ConvCase("more than one tile, stride 2", (1, 4, 67, 70), (18, 4, 3, 3), stride=2, padding=1, large=True),
)

POOL_CASES = (
    *(
        PoolCase(name, op, x, **parameters)
        for op in ("max", "avg")
        for name, x, parameters in (
            ("2x2", (2, 3, 6, 8), {"kernel_size": 2}),
            ("2x2, ragged", (2, 3, 7, 9), {"kernel_size": 2}),
            ("2x2, ceil", (2, 3, 7, 9), {"kernel_size": 2, "ceil_mode": True}),
            ("3x3, stride 2, padded", (2, 3, 9, 8), {"kernel_size": 3, "stride": 2, "padding": 1}),
            ("3x3, stride 1", (1, 2, 5, 6), {"kernel_size": 3, "stride": 1}),
            (
                "3x2, stride (1, 2)",
                (1, 2, 6, 7),
                {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)},
            ),
            ("ceil, padded", (1, 2, 6, 7), {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True}),
            (
                "ceil, last window left out",
                (1, 1, 4, 5),
                {"kernel_size": 2, "stride": 4, "padding": 1, "ceil_mode": True},
            ),
            ("stride beyond the window", (1, 2, 11, 12), {"kernel_size": 2, "stride": (5, 4)}),
            ("four sides", (2, 2, 5, 6), {"kernel_size": 4, "stride": 2, "padding": ((2, 0), (1, 2))}),
            ("same, stride 2", (1, 2, 7, 8), {"kernel_size": 3, "stride": 2, "padding": "same"}),
            ("valid", (1, 2, 7, 8), {"kernel_size": 3, "padding": "valid"}),
            ("one pixel", (1, 1, 1, 1), {"kernel_size": 1}),
            ("1x1 window", (2, 2, 3, 4), {"kernel_size": 1, "stride": 2}),
            ("whole image", (2, 5, 7, 7), {"kernel_size": 7}),
            ("no images", (0, 3, 5, 5), {"kernel_size": 2}),
            ("no channels", (2, 0, 5, 5), {"kernel_size": 2}),
            ("no rows but padding", (1, 2, 0, 4), {"kernel_size": 2, "padding": 1}),
            ("one pixel, padded all around", (1, 1, 1, 1), {"kernel_size": 2, "stride": 1, "padding": 1}),
            ("wide", (1, 2, 3, 150), {"kernel_size": 3, "stride": 2, "padding": 1}),
            ("tall", (1, 2, 150, 3), {"kernel_size": (5, 3), "stride": 1, "padding": (2, 1)}),
            (
                "more than one tile",
                (3, 5, 37, 70),
                {"kernel_size": 3, "stride": 2, "padding": 1, "large": True},
            ),
        )
    ),
    PoolCase("dilation 2", "max", (2, 2, 9, 10), 3, stride=1, dilation=2, padding=1),
    PoolCase("dilation (2, 3), stride 2", "max", (1, 2, 9, 12), (2, 3), stride=2, dilation=(2, 3), padding=1),
    PoolCase("dilation, ceil", "max", (1, 2, 8, 9), 2, stride=3, dilation=3, ceil_mode=True),
    PoolCase("a window whose taps all miss", "max", (1, 1, 1, 1), 2, stride=1, dilation=2, padding=1),
    PoolCase("pads not counted", "avg", (2, 2, 6, 7), 3, stride=2, padding=1, count_include_pad=False),
    PoolCase("pads not counted, ceil", "avg", (1, 2, 6, 7), 3, 2, 1, ceil_mode=True, count_include_pad=False),
    PoolCase("four sides not counted", "avg", (1, 2, 5, 5), 4, 2, ((0, 2), (2, 1)), count_include_pad=False),
    PoolCase("no pixel counts", "avg", (1, 2, 0, 4), 2, padding=1, count_include_pad=False),
    PoolCase("no pixel counts, 4x4", "avg", (1, 2, 5, 0), 4, 1, 2, count_include_pad=False),
    PoolCase("divisor 5", "avg", (1, 2, 6, 7), 2, padding=1, divisor_override=5),
    PoolCase("divisor -3", "avg", (1, 2, 6, 7), 3, stride=1, divisor_override=-3),
)


@dataclass(frozen=True)
class PatchesCase:
    """One call of unfold, and of fold, which makes images of the shape `x` again."""

    name: str
    x: tuple[int, int, int, int]
    kernel_size: Any
    dilation: Any = 1
    padding: Any = 0
    stride: Any = 1

    def __str__(self) -> str:
        return self.name

    @property
    def parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("kernel_size", "dilation", "padding", "stride")}


PATCHES_CASES = (
    PatchesCase("3x3", (2, 3, 7, 9), 3),
    PatchesCase("3x3, padded", (2, 2, 6, 5), 3, padding=1),
    PatchesCase("stride 2", (1, 2, 9, 37), 3, padding=1, stride=2),
    PatchesCase("stride (1, 2)", (1, 2, 6, 40), (2, 5), padding=(0, 2), stride=(1, 2)),
    PatchesCase("stride (2, 3), dilation (3, 2)", (1, 2, 11, 12), (3, 2), (3, 2), (2, 1), (2, 3)),
    PatchesCase("apart", (2, 3, 8, 12), 4, stride=4),
    PatchesCase("beyond the window", (1, 2, 9, 11), 2, stride=(5, 4)),
    PatchesCase("four sides", (1, 2, 5, 6), (2, 3), padding=((3, 0), (1, 4))),
    PatchesCase("same", (1, 2, 7, 6), 4, padding="same", stride=2),
    PatchesCase("full", (1, 1, 3, 4), (2, 3), padding="full"),
    PatchesCase("padding beyond the window", (1, 1, 2, 3), 2, padding=5, stride=2),
    PatchesCase("1x1", (2, 3, 4, 5), 1),
    PatchesCase("rows longer than a vector", (1, 2, 5, 70), 3, padding=1),
    PatchesCase("several bands", (1, 1, 130, 90), 3, padding=1),
    PatchesCase("no images", (0, 2, 5, 5), 2),
    PatchesCase("no channels", (2, 0, 5, 5), 2),
)


def matrix(rows) -> np.ndarray:
    """One image of one channel."""
    return np.array(rows, np.float64)[None, None]


def channels(*matrices) -> np.ndarray:
    """One image with one channel for each matrix."""
    return np.array(matrices, np.float64)[None]


ZERO_TO_8 = np.arange(9).reshape(3, 3)
ZERO_TO_15 = np.arange(16).reshape(4, 4)
EDGES = np.ones((6, 8))
EDGES[:, 2:6] = 0
EDGE_RESPONSE = np.zeros((6, 7))
EDGE_RESPONSE[:, 1], EDGE_RESPONSE[:, 5] = 1, -1

# (x, w, y) of textbook cross-correlations, computed by hand
CONV_NUMBERS = {
    "one channel": (matrix(ZERO_TO_8), matrix([[0, 1], [2, 3]]), matrix([[19, 25], [37, 43]])),
    "two channels": (
        channels(ZERO_TO_8, ZERO_TO_8 + 1),
        channels([[0, 1], [2, 3]], [[1, 2], [3, 4]]),
        matrix([[56, 72], [104, 120]]),
    ),
    "edges": (matrix(EDGES), matrix([[1, -1]]), matrix(EDGE_RESPONSE)),
}

# (operator, x, parameters, y)
POOL_NUMBERS = {
    "max 2x2": ("max", matrix(ZERO_TO_8), {"kernel_size": 2, "stride": 1}, matrix([[4, 5], [7, 8]])),
    "average 2x2": ("avg", matrix(ZERO_TO_8), {"kernel_size": 2, "stride": 1}, matrix([[2, 3], [5, 6]])),
    "max 3": ("max", matrix(ZERO_TO_15), {"kernel_size": 3}, matrix([[10]])),
    "max 3, padding 1, stride 2, two channels": (
        "max",
        channels(ZERO_TO_15, ZERO_TO_15 + 1),
        {"kernel_size": 3, "stride": 2, "padding": 1},
        channels([[5, 7], [13, 15]], [[6, 8], [14, 16]]),
    ),
}

# (shape of x, shape of w, parameters, shape of y)
CONV_SHAPES = (
    ((1, 1, 8, 8), (1, 1, 3, 3), {"padding": 1}, (1, 1, 8, 8)),
    ((1, 1, 8, 8), (1, 1, 5, 3), {"padding": (2, 1)}, (1, 1, 8, 8)),
    ((1, 1, 8, 8), (1, 1, 3, 3), {"padding": 1, "stride": 2}, (1, 1, 4, 4)),
    ((1, 1, 8, 8), (1, 1, 3, 5), {"padding": (0, 1), "stride": (3, 4)}, (1, 1, 2, 2)),
    ((1, 1, 28, 28), (1, 1, 3, 3), {}, (1, 1, 26, 26)),
    ((1, 1, 28, 28), (1, 1, 3, 3), {"padding": 2}, (1, 1, 30, 30)),
    ((1, 1, 28, 28), (1, 1, 3, 3), {"padding": 2, "stride": 2}, (1, 1, 15, 15)),
    ((64, 1, 28, 28), (4, 1, 3, 3), {}, (64, 4, 26, 26)),
    ((1, 1, 5, 5), (1, 1, 3, 3), {"padding": "full"}, (1, 1, 7, 7)),
)
