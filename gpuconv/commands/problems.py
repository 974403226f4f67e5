"""The problems of `gpuconv verify`: small, and between them every parameter, border and kernel.

The lists are for every algorithm of both engines. Those of `COVERING` are for kernels of the CUDA engine that
the lists need not reach (`covering.py`): of each, the first that the device at hand launches a kernel for.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

import gpuconv
from gpuconv.operators import OPERATORS
from gpuconv.spec import Dtype
from gpuconv.spec.dtypes import BYTES, COMPLEX, INT32, INTEGERS, UINT16, UINT32, UINT64

NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class Problem:
    """One call. `special` values are strewn over the input; `reversed` gives it negative strides, and
    `channels_last` channels side by side.

    A `mixed` one is of integers of 8 bits alone: the input has a sign and the weights have none, or the other
    way round.
    `places` is how many places of a plane the indices are of, where a function takes some; `image` the shape
    of the pool's input, where its gradient takes that and the result.
    """

    function: str
    shape: tuple[int, ...]
    weight: tuple[int, ...] | None = None
    bias: bool = False
    special: tuple[float, ...] = ()
    reversed: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    mixed: bool = False
    residual: tuple[int, ...] = ()
    offset: tuple[int, ...] = ()
    places: int = 0
    image: tuple[int, ...] | None = None
    channels_last: bool = False

    @property
    def outputs(self) -> tuple[int, ...]:
        """The shape of the bias: one for each output channel."""
        weight: Any = self.weight
        if self.function == "conv_transpose2d":
            return (weight[1] * self.parameters.get("groups", 1),)
        return weight[:1]

    def __str__(self) -> str:
        parameters = [f"{name}={value}" for name, value in self.parameters.items()]
        extras = [name for name in ("bias", "reversed", "channels_last", "mixed") if getattr(self, name)]
        special = [f"with {value}" for value in self.special]
        weight = [f"weight {self.weight}"] if self.weight else []
        if self.residual:
            extras.append("residual")
        return " ".join([self.function, f"input {self.shape}", *weight, *extras, *special, *parameters])


def conv(
    shape, weight, *, bias=False, special=(), reversed=False, mixed=False, residual=(), **parameters
) -> Problem:
    return Problem(
        "conv2d", shape, weight, bias, special, reversed, parameters, mixed=mixed, residual=residual
    )


def transposed(
    shape, weight, *, bias=False, special=(), reversed=False, residual=(), **parameters
) -> Problem:
    return Problem("conv_transpose2d", shape, weight, bias, special, reversed, parameters, residual=residual)


def deformed(shape, weight, offset, *, bias=False, **parameters) -> Problem:
    return Problem("deform_conv2d", shape, weight, bias, parameters=parameters, offset=offset)


def gradient(input_size, weight, shape, **parameters) -> Problem:
    return Problem("conv2d_input", shape, weight, parameters={"input_size": input_size, **parameters})


def weight_gradient(shape, weight_size, grad_output, *, special=(), reversed=False, **parameters) -> Problem:
    given = {"weight_size": weight_size, **parameters}
    return Problem("conv2d_weight", shape, grad_output, special=special, reversed=reversed, parameters=given)


def pool(function, shape, *, special=(), reversed=False, **parameters) -> Problem:
    return Problem(function, shape, special=special, reversed=reversed, parameters=parameters)


def scattered(function, shape, places, *, special=(), **parameters) -> Problem:
    return Problem(function, shape, special=special, parameters=parameters, places=places)


def normed(shape, image, norm_type, *, special=(), **parameters) -> Problem:
    given = {"norm_type": norm_type, **parameters}
    return Problem("grad.lp_pool2d", shape, special=special, parameters=given, image=image)


CONVOLUTIONS = (
    conv((2, 3, 7, 9), (4, 3, 3, 3)),
    conv((2, 3, 7, 9), (4, 3, 3, 3), padding=1, bias=True),
    conv((1, 2, 12, 11), (3, 2, 3, 2), stride=(2, 3), padding=((0, 2), (3, 1))),
    conv((1, 3, 13, 14), (2, 3, 3, 3), dilation=(2, 3), padding=2),
    conv((2, 6, 8, 8), (4, 3, 3, 3), groups=2, padding="same", bias=True),
    conv((2, 5, 9, 8), (10, 1, 3, 3), groups=5, padding=1, stride=2),
    conv((2, 33, 6, 5), (70, 33, 1, 1), bias=True),
    conv((1, 4, 9, 9), (5, 4, 1, 1), stride=2, padding=1),
    conv((1, 1, 20, 18), (2, 1, 7, 5), stride=2, padding="same"),
    conv((1, 2, 3, 4), (2, 2, 3, 4), padding="full"),
    conv((2, 17, 10, 37), (19, 17, 3, 3), padding=1),
    conv((3, 1, 28, 28), (4, 1, 3, 3)),
    conv((3, 9, 40), (2, 3, 3, 3), padding=1),
    conv((0, 3, 7, 9), (4, 3, 3, 3)),
    conv((1, 0, 4, 4), (3, 0, 3, 3), bias=True),
    conv((2, 3, 8, 9), (4, 3, 3, 3), padding=1, reversed=True),
    replace(conv((2, 9, 8, 9), (20, 9, 3, 3), padding=1, bias=True), channels_last=True),
    replace(conv((2, 9, 8, 9), (9, 1, 3, 3), padding=1, groups=9, stride=2), channels_last=True),
    conv((2, 3, 24, 24), (4, 3, 3, 3), padding=1, special=(NAN, INF, -INF)),
    conv((2, 3, 7, 9), (1, 3, 3, 3), padding=1, bias=True, mixed=True),
    conv((1, 8, 8, 7), (4, 4, 3, 2), stride=2, groups=2, mixed=True),
    conv((1, 70, 6, 5), (9, 70, 3, 3), padding=1, bias=True, mixed=True),
)
OPTIONS = (  # which not every algorithm takes
    conv((2, 3, 9, 8), (4, 3, 3, 3), padding=1, bias=True, activation="relu"),
    conv((2, 3, 9, 8), (4, 3, 3, 3), padding=1, residual=(2, 4, 9, 8)),
    conv((2, 3, 9, 8), (4, 3, 3, 3), padding=(2, 1), stride=2, padding_mode="reflect"),
    conv((1, 2, 7, 8), (3, 2, 5, 3), padding="same", padding_mode="replicate", bias=True),
    conv((2, 4, 6, 9), (4, 1, 3, 3), padding=2, padding_mode="circular", groups=4, activation="relu"),
    conv((2, 3, 6, 7), (9, 3, 3, 3), padding=1, residual=(2, 9, 6, 7), bias=True),
)
TRANSPOSED = (
    transposed((2, 3, 7, 9), (3, 4, 3, 3), padding=1, bias=True),
    transposed((2, 6, 5, 4), (6, 3, 2, 2), stride=2, bias=True),
    transposed((1, 4, 5, 6), (4, 3, 4, 4), stride=2, padding=1),
    transposed((1, 2, 5, 4), (2, 3, 3, 2), stride=(2, 3), padding=((0, 1), (1, 0)), output_padding=(1, 2)),
    transposed((2, 6, 4, 5), (6, 2, 3, 3), stride=2, padding=1, groups=3, bias=True),
    transposed((1, 4, 6, 5), (4, 1, 3, 3), stride=2, groups=4),
    transposed((1, 2, 5, 4), (2, 3, 3, 2), stride=(4, 3), dilation=(2, 3), bias=True),
    transposed((3, 5, 6), (3, 2, 2, 2), stride=3),
    transposed((1, 40, 10, 9), (40, 36, 3, 3), padding=1, reversed=True),
    replace(transposed((2, 6, 5, 4), (6, 3, 2, 2), stride=2, bias=True), channels_last=True),
    transposed((0, 3, 4, 4), (3, 2, 3, 3), stride=2),
    transposed((1, 3, 5, 4), (3, 2, 3, 3), stride=2, bias=True, activation="relu"),
    transposed((1, 3, 5, 4), (3, 2, 3, 3), stride=2, bias=True, residual=(1, 2, 11, 9)),
)
DEFORMED = (
    deformed((2, 4, 7, 8), (3, 4, 3, 3), (2, 18, 7, 8), padding=1, bias=True),
    deformed((1, 6, 9, 8), (4, 3, 3, 2), (1, 24, 4, 4), stride=2),
    deformed((3, 5, 6), (6, 1, 2, 2), (24, 4, 5)),
)
GRADIENTS = (
    gradient((2, 1, 7, 9), (4, 1, 3, 3), (2, 4, 7, 9), padding=1),
    gradient((1, 6, 9, 8), (4, 3, 3, 2), (1, 4, 4, 4), stride=2, groups=2),
    gradient((2, 9, 8, 10), (3, 9, 3, 3), (2, 3, 4, 4), stride=(2, 3), padding=1),
)
WEIGHT_GRADIENTS = (
    weight_gradient((2, 3, 7, 9), (4, 3, 3, 3), (2, 4, 7, 9), padding=1),
    weight_gradient((1, 6, 9, 8), (4, 3, 3, 2), (1, 4, 4, 4), stride=2, groups=2),
    weight_gradient((2, 4, 8, 9), (4, 1, 3, 3), (2, 4, 4, 5), stride=2, padding=1, groups=4),
    weight_gradient((1, 2, 13, 14), (9, 2, 3, 3), (1, 9, 13, 12), dilation=(2, 3), padding=2),
    weight_gradient((1, 2, 9, 14), (3, 2, 3, 3), (1, 3, 9, 14), padding=1, special=(NAN, INF)),
    weight_gradient((2, 40, 6, 7), (36, 40, 3, 3), (2, 36, 4, 5), reversed=True),
    weight_gradient((3, 9, 20), (2, 3, 1, 1), (2, 9, 20)),
    weight_gradient((0, 3, 7, 9), (4, 3, 3, 3), (0, 4, 5, 7)),
)  # fmt: skip
BIAS_GRADIENTS = (
    pool("conv2d_bias", (2, 3, 7, 9)),
    pool("conv2d_bias", (3, 70, 2, 5), reversed=True),
    pool("conv2d_bias", (3, 9, 40), special=(NAN, INF)),
    pool("conv2d_bias", (0, 3, 4, 4)),
)
POOLS = (
    *(
        problem
        for function in ("max_pool2d", "avg_pool2d")
        for problem in (
            pool(function, (2, 3, 8, 10), kernel_size=2),
            pool(function, (2, 3, 9, 40), kernel_size=3, stride=2, padding=1),
            pool(function, (1, 2, 9, 8), kernel_size=(3, 2), stride=(3, 1), padding=((1, 0), (0, 1))),
            pool(function, (1, 2, 10, 11), kernel_size=3, stride=2, padding=1, ceil_mode=True),
            pool(function, (2, 4, 7, 7), kernel_size=7),
            pool(function, (3, 9, 8), kernel_size=3, stride=1, padding="same", reversed=True),
            replace(pool(function, (2, 9, 8, 10), kernel_size=3, stride=2, padding=1), channels_last=True),
            pool(function, (0, 3, 8, 8), kernel_size=2),
            pool(function, (2, 2, 16, 16), kernel_size=3, stride=2, special=(NAN, INF, -INF)),
        )
    ),
    pool("max_pool2d", (2, 3, 9, 10), kernel_size=3, stride=2, padding=1, return_indices=True),
    pool("max_pool2d", (1, 2, 12, 13), kernel_size=3, dilation=(2, 3), padding=1, return_indices=True),
    pool("max_pool2d", (1, 2, 12, 12), kernel_size=2, return_indices=True, special=(NAN, -INF)),
    pool("max_pool2d", (1, 2, 1, 1), kernel_size=2, dilation=2, padding=1, return_indices=True),
    pool("avg_pool2d", (2, 3, 9, 10), kernel_size=3, stride=2, padding=1, count_include_pad=False),
    pool("avg_pool2d", (2, 3, 9, 10), kernel_size=(4, 3), padding=1, divisor_override=-5),
    pool("avg_pool2d", (1, 1, 5, 6), kernel_size=3, stride=2, padding=1, ceil_mode=True, divisor_override=7),
    pool("avg_pool2d", (1, 1, 5, 6), kernel_size=3, stride=2, ceil_mode=True, count_include_pad=False),
    pool("min_pool2d", (2, 3, 9, 40), kernel_size=3, stride=2, padding=1),
    pool("min_pool2d", (1, 2, 12, 13), kernel_size=3, dilation=(2, 3), padding=1, special=(NAN, INF, -INF)),
    pool("adaptive_max_pool2d", (2, 3, 9, 11), output_size=(4, 3), special=(NAN, -INF)),
    pool("adaptive_max_pool2d", (3, 9, 8), output_size=(5, 12), return_indices=True, reversed=True),
    pool("adaptive_max_pool2d", (2, 3, 8, 8), output_size=4),
    pool("adaptive_avg_pool2d", (2, 3, 9, 11), output_size=(4, 3), special=(NAN, INF)),
    pool("adaptive_avg_pool2d", (0, 3, 9, 8), output_size=(5, 12)),
    pool("lp_pool2d", (2, 3, 8, 10), norm_type=2, kernel_size=2),
    pool("lp_pool2d", (1, 2, 7, 9), norm_type=2, kernel_size=2, ceil_mode=True, special=(NAN, INF)),
    pool("lp_pool2d", (2, 3, 8, 10), norm_type=1, kernel_size=(3, 2), stride=1, reversed=True),
    pool("lp_pool2d", (2, 9, 8), norm_type=INF, kernel_size=3, stride=2, special=(NAN, -INF)),
    pool("lp_pool2d", (2, 9, 8), norm_type=-INF, kernel_size=3, stride=2, ceil_mode=True),
)

SCATTERED = (
    scattered("max_unpool2d", (2, 3, 4, 5), 80, kernel_size=2),
    scattered("max_unpool2d", (3, 9, 8), 18 * 16, kernel_size=3, stride=2, padding=1, output_size=(18, 16)),
    scattered("grad.max_pool2d", (2, 3, 4, 5), 99, input_size=(2, 3, 9, 11)),
    scattered("grad.max_pool2d", (1, 2, 7, 6), 1, input_size=(1, 2, 40, 41), special=(NAN,)),
    scattered("grad.max_pool2d", (1, 2, 18, 6), 432, input_size=(1, 2, 36, 12), kernel_size=(8, 2), stride=2,
              padding=(3, 0)),
    scattered("grad.max_pool2d", (0, 3, 4, 4), 64, input_size=(0, 3, 8, 8), kernel_size=2),
)  # fmt: skip
SHARES = (
    pool("grad.avg_pool2d", (2, 3, 4, 5), input_size=(2, 3, 8, 10), kernel_size=2),
    pool("grad.avg_pool2d", (1, 2, 9, 11), input_size=(1, 2, 17, 21), kernel_size=4, stride=2, padding=2,
         special=(NAN, INF)),
    pool("grad.avg_pool2d", (3, 6, 6), input_size=(3, 6, 7), kernel_size=(1, 4), stride=1, padding=(0, 1),
         divisor_override=-1, reversed=True),
    pool("grad.avg_pool2d", (1, 2, 2, 2), input_size=(1, 2, 4, 4), kernel_size=2, count_include_pad=False),
    pool("grad.avg_pool2d", (1, 2, 3, 3), input_size=(1, 2, 13, 12), kernel_size=2, stride=5),
    pool("grad.adaptive_avg_pool2d", (2, 3, 2, 4), input_size=(2, 3, 3, 5)),
    pool("grad.adaptive_avg_pool2d", (2, 3, 1, 1), input_size=(2, 3, 8, 16)),
    pool("grad.adaptive_avg_pool2d", (0, 3, 1, 2), input_size=(0, 3, 5, 5)),
    normed((2, 3, 4, 5), (2, 3, 8, 10), 2, kernel_size=2),
    normed((1, 2, 3, 20), (1, 2, 7, 41), 2, kernel_size=3, stride=2, special=(NAN, INF)),
    normed((2, 2, 3), (2, 4, 5), 1, kernel_size=2, ceil_mode=True),
    normed((3, 3, 3), (3, 5, 7), -1, kernel_size=(3, 1), stride=(1, 3)),
)  # fmt: skip
PATCHES = (
    pool("unfold", (2, 3, 8, 10), kernel_size=3),
    pool("unfold", (1, 2, 9, 40), kernel_size=(2, 3), dilation=(3, 2), padding=((1, 0), (2, 3)),
         stride=(2, 1)),
    pool("unfold", (3, 8, 8), kernel_size=4, stride=4, reversed=True, special=(NAN, -INF)),
    pool("unfold", (0, 3, 8, 8), kernel_size=2),
    pool("fold", (2, 27, 48), output_size=(8, 10), kernel_size=3),
    pool("fold", (1, 12, 164), output_size=(9, 40), kernel_size=(2, 3), dilation=(3, 2),
         padding=((1, 0), (2, 3)), stride=(2, 1)),
    pool("fold", (48, 4), output_size=(8, 8), kernel_size=4, stride=4, reversed=True, special=(NAN, INF)),
    pool("fold", (1, 9, 28), output_size=(8, 13), kernel_size=3, stride=2, padding=1),
)  # fmt: skip


def _depthwise() -> Iterator[Problem]:
    """Windows that are compiled in, for wide and narrow lanes, and any window for many and few rows."""
    for window in (3, 5, 7):
        weight, pad = (4, 1, window, window), window // 2
        yield from (conv((1, 4, 16, Q), weight, groups=4, padding=pad, bias=True) for Q in (16, 64))
        yield conv((1, 4, 16, 64), weight, groups=4, padding=pad, stride=2)
        yield conv((1, 4, 16, 32), weight, groups=4, padding=((pad - 1, pad),) * 2, stride=2)
    for N in (1, 2, 4, 8, 16):
        for size in (16, 28, 56):
            yield conv((N, 64, size, size), (64, 1, 5, 4), groups=64, padding=2)


def _gemm() -> Iterator[Problem]:
    """Whole and partial tiles of 32, 64 and 128 channels, of rows of pixels and gathered; shared sums;
    and by tensor cores.

    Which of the tiles a GPU takes depends on its multiprocessors and how they are filled, so there are many.
    """
    yield conv((1, 8, 8, 8), (16, 8, 1, 1))
    yield conv((1, 250, 7, 9), (40, 250, 3, 3), padding=1, bias=True)
    for N in range(1, 13):
        yield conv((N, 1, 112, 112), (24, 1, 1, 1))
        yield conv((N, 2, 61, 59), (24, 2, 3, 3), padding=1)
    for N in range(1, 41):
        yield conv((N, 17, 32, 32), (120, 17, 1, 1))
        yield conv((N, 17, 33, 31), (120, 17, 1, 1), bias=True)
    for N, C, K in ((1, 17, 120), (40, 17, 120), *((N, 256, 256) for N in (16, 24, 40, 64))):
        yield conv((N, C, 16, 16), (K, C, 1, 1), precision="tf32")
        yield conv((N, C, 17, 15), (K, C, 1, 1), bias=True, precision="tf32")
    yield conv((2, 64, 56, 56), (64, 64, 3, 3), padding=1, precision="tf32")
    for N in (16, 40):
        yield conv((N, 96, 32, 32), (128, 96, 1, 1), precision="tf32")
        yield conv((N, 96, 33, 31), (128, 96, 1, 1), bias=True, precision="tf32")


def _packed_gemm() -> Iterator[Problem]:
    """Tiles of 64 and 128 channels of 16 and 8 bits: sums before an activation, shared ones, mixed bytes."""
    for options in ({}, {"activation": "relu"}):
        yield conv((1, 1400, 4, 5), (40, 1400, 3, 3), padding=1, bias=True, **options)
    for N in (1, 4, 9, 18, 28, 36, 56, 64, 72, 128):
        yield conv((N, 32, 16, 16), (128, 32, 3, 3), padding=1, activation="relu")
        yield conv((N, 32, 16, 16), (128, 32, 3, 3), padding=1, mixed=True)


def _pools() -> Iterator[Problem]:
    """Windows in registers and of whole planes, each with aligned rows and with others."""
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("max_pool2d", {}), ("max_pool2d", {"return_indices": True}), ("avg_pool2d", {}),
    )  # fmt: skip
    windows: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (
        ((2, 3, 16, 16), {"kernel_size": 16}),
        ((2, 3, 7, 9), {"kernel_size": (7, 9)}),
        ((2, 3, 48, 48), {"kernel_size": 48}),
        ((2, 3, 49, 47), {"kernel_size": (49, 47)}),
        ((2, 3, 16, 32), {"kernel_size": 3, "stride": 1, "padding": 1}),
        ((2, 3, 9, 13), {"kernel_size": 3, "stride": 1}),
        ((2, 3, 16, 32), {"kernel_size": 3, "stride": 2, "padding": 1}),
        ((2, 3, 9, 13), {"kernel_size": 3, "stride": 2}),
        ((2, 3, 16, 32), {"kernel_size": 2}),
        ((2, 3, 9, 13), {"kernel_size": 2}),
    )
    for (function, options), (shape, parameters) in product(kinds, windows):
        yield pool(function, shape, **parameters, **options)


COVERING: dict[str, tuple[Problem, ...]] = {
    "conv": (
        *_depthwise(),
        *(conv((1, 2, 9, 21), (K, 2, 3, 3), padding=1) for K in (7, 13, 30)),  # of few input channels
        *_gemm(),
        *_packed_gemm(),
    ),
    "conv_grad": (),  # of the kernels of "conv"
    "conv_weight": (),
    "conv_bias": (),
    "deform": (),
    "pool": tuple(_pools()),
    "scatter": (),
    "pool_grad": (),
    "unfold": (),
}


OF_FLOATS = "avg_pool2d", "adaptive_avg_pool2d", "lp_pool2d"


def of_dtype(problems: Iterable[Problem], dtype: Dtype) -> tuple[Problem, ...]:
    """The problems that there are of a dtype."""
    without = ("activation",) if dtype in (*COMPLEX, *BYTES) else ()
    listed = (each for each in problems if not each.mixed or dtype in BYTES)
    if dtype in INTEGERS:
        listed = (each for each in listed if each.function not in OF_FLOATS)
    return tuple(each for each in listed if not each.parameters.keys() & set(without))


def arrays(problem: Problem, dtype: Dtype) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """The input, and the weight and bias of a convolution, the same in each run.

    They are integers from -4 to 4, and so is each part of complex ones; without their sign where a dtype has
    none, but for bytes, which are below 256.
    """
    random = np.random.default_rng(20)

    def integers(shape: tuple[int, ...], dtype: Dtype) -> np.ndarray:
        values = random.integers(-4, 5, shape)
        if dtype in (UINT16, UINT32, UINT64):
            values = np.abs(values)
        parts = values + 1j * random.integers(-4, 5, shape) if dtype in COMPLEX else values
        return parts.astype(dtype.numpy)

    input = integers(problem.shape, dtype)
    for number, value in enumerate(problem.special if dtype not in INTEGERS else ()):
        input.flat[7 + 13 * number :: 101] = value
    if problem.places:
        return input, [random.integers(-1, problem.places, problem.shape)]
    if problem.image is not None:  # norms whose powers are exact
        return input, [
            integers(problem.image, dtype),
            np.exp2(random.integers(-1, 2, problem.shape)).astype(dtype.numpy),
        ]
    if problem.weight is None:
        return input, []
    weight, sums = dtype, INT32 if dtype in BYTES else dtype
    if problem.mixed:
        (weight,) = (each for each in BYTES if each != dtype)
    others = [integers(problem.outputs, sums) if problem.bias else None] if _has_bias(problem) else []
    if problem.residual:
        others.append(integers(problem.residual, sums))
    offset = [random.integers(-8, 9, problem.offset).astype(dtype.numpy) / 4] if problem.offset else []
    return input, [*offset, integers(problem.weight, weight), *others]


def _has_bias(problem: Problem) -> bool:
    return problem.function not in ("conv2d_input", "conv2d_weight")


def laid(problem: Problem, input: Any) -> Any:
    """The input as it lies in memory: a view of it, or a copy of the same library."""
    if problem.channels_last:
        return input.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    return input[..., ::-1, ::-1] if problem.reversed else input


def function_of(problem: Problem) -> Callable[..., Any]:
    """What is called, with the arrays by name: those of `OPERATORS`, by whose names functions go."""
    name = problem.function.removeprefix("grad.")
    is_gradient = name != problem.function or not hasattr(gpuconv, name)
    return getattr(gpuconv.grad if is_gradient else gpuconv, name)


def named(problem: Problem, arrays: Iterable[Any]) -> dict[str, Any]:
    """The arguments of a call by name, its arrays in their order."""
    return dict(zip(OPERATORS[problem.function].arrays, arrays, strict=False)) | problem.parameters
