"""A problem as a layer of a workload: how it is made, named, described and counted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from gpuconv.spec import (
    BIAS_GRADIENT,
    INPUT_GRADIENT,
    WEIGHT_GRADIENT,
    ConvSpec,
    Dtype,
    MeanGradientSpec,
    PatchesSpec,
    PoolSpec,
    ScatterSpec,
    Spec,
)
from gpuconv.spec.windows import ADAPTIVE, REGULAR, largest

# What computes a convolution's problem, by its direction; a transposed one is the gradient by the input.
DIRECTIONS = {
    "forward": "conv2d", INPUT_GRADIENT: "conv_transpose2d", WEIGHT_GRADIENT: "grad.conv2d_weight",
    BIAS_GRADIENT: "grad.conv2d_bias",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layer:
    """A problem, how tables call it, how often one forward pass meets it, and how its arrays lie."""

    label: str
    spec: Spec
    multiplicity: int = 1
    channels_last: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """Layers that are reported together.

    Attributes
    ----------
    host_clock : bool
        The layers are so small that a call costs what the host spends on it: on a GPU the host's clock is
        read, without waiting for the device.
    """

    name: str
    layers: tuple[Layer, ...]
    host_clock: bool = False

    def with_dtype(self, dtype: Dtype) -> "Workload":
        """The same layers on elements of `dtype`."""
        layers = (replace(layer, spec=replace(layer.spec, dtype=dtype)) for layer in self.layers)
        return replace(self, layers=tuple(layers))

    def with_precision(self, precision: str | None) -> "Workload":
        """The same convolutions where the caller allows the error of `precision`; all else as it is."""
        layers = (
            replace(layer, spec=replace(layer.spec, precision=precision))
            if has_precision(layer.spec)
            else layer
            for layer in self.layers
        )
        return replace(self, layers=tuple(layers))

    def sample(self, count: int) -> "Workload":
        """At most `count` of the layers: of each kind the one of median work, the weightiest kinds first."""
        kinds: dict[tuple, list[Layer]] = {}
        for layer in self.layers:
            kinds.setdefault(_kind(layer.spec), []).append(layer)
        members = sorted(kinds.values(), key=lambda layers: -sum(map(_work, layers)))
        chosen = {_median(layers) for layers in members[:count]}
        others = [layer for layer in self.layers if layer not in chosen]
        missing = count - len(chosen)
        chosen.update(others[:: max(1, -(-len(others) // missing))] if missing > 0 else ())
        return replace(self, layers=tuple(layer for layer in self.layers if layer in chosen))


def _kind(spec: Spec) -> tuple:
    """What decides about the algorithm more than extents do."""
    return operator(spec), isinstance(spec, ConvSpec) and spec.is_depthwise, spec.R, spec.S, spec.stride


def _work(layer: Layer) -> int:
    return layer.multiplicity * flops(layer.spec)


def _median(layers: list[Layer]) -> Layer:
    return sorted(layers, key=_work)[len(layers) // 2]


def convolution(
    N: int, C: int, size: int | tuple[int, int], K: int, kernel: int, stride: int = 1, pad: int | None = None,
    groups: int = 1,
) -> ConvSpec:  # fmt: skip
    """A square kernel on `size`; `pad` keeps the extent of an odd kernel at stride 1 unless it is given."""
    H, W = (size, size) if isinstance(size, int) else size
    p = kernel // 2 if pad is None else pad
    return ConvSpec(N, C, H, W, K, kernel, kernel, ((p, p), (p, p)), (stride, stride), groups=groups)


def pool(
    reduction: str, N: int, C: int, size: int, window: int, stride: int | None = None, pad: int = 0
) -> PoolSpec:
    """A square window on `size` x `size`; `stride` is the window unless it is given."""
    step = window if stride is None else stride
    return PoolSpec(reduction, N, C, size, size, window, window, ((pad, pad), (pad, pad)), (step, step))


def norm_pool(norm: float, N: int, C: int, size: int, window: int) -> PoolSpec:
    """The norm of windows side by side."""
    return replace(pool("norm", N, C, size, window), norm=norm)


def adaptive_pool(reduction: str, N: int, C: int, size: int, outputs: int) -> PoolSpec:
    """So many windows along each axis of `size` as share it out."""
    window, outs = largest(size, outputs), (outputs, outputs)
    return PoolSpec(reduction, N, C, size, size, window, window, windows=ADAPTIVE, output_size=outs)


def label(spec: Spec) -> str:
    """A short name: kernel, channels, extent, then what is out of the ordinary.

    Examples
    --------
    >>> label(convolution(8, 64, 56, 64, 3))
    '3x3 64->64 @56'
    >>> label(convolution(8, 144, 56, 144, 3, stride=2, groups=144))
    'depthwise 3x3 144 @56 /2'
    >>> label(pool("max", 8, 64, 112, 3, stride=2, pad=1))
    'max 3x3 64 @112 /2'
    """
    size = f"@{spec.H}" if spec.H == spec.W else f"@{spec.H}x{spec.W}"
    window = f"{spec.R}x{spec.S}"
    stride = "" if spec.stride == (1, 1) else f" /{spec.stride[0]}"
    if isinstance(spec, PoolSpec):
        return f"{_reduced(spec)} {spec.C} {size}{stride}{' indices' * spec.return_indices}"
    if not isinstance(spec, ConvSpec):
        name = operator(spec).removeprefix("grad.")
        back = " back" if operator(spec).startswith("grad.") else ""
        if isinstance(spec, ScatterSpec) and not spec.is_windowed:
            return f"{name}{back} {spec.C} {size}"
        return f"{name}{back} {window} {spec.C} {size}{stride}"
    if spec.direction != "forward":
        return f"{_back(spec)}{size}{stride}"
    if spec.is_depthwise:
        return f"depthwise {window} {spec.C} {size}{stride}"
    return f"{window} {spec.C}->{spec.K} {size}{stride}"


def _reduced(spec: PoolSpec) -> str:
    """What a pool makes of which windows."""
    if spec.windows == ADAPTIVE:
        return f"adaptive {spec.reduction} to {spec.P}x{spec.Q}"
    norm = "" if spec.norm is None else f" {spec.norm:g}"
    return f"{spec.reduction}{norm} {spec.R}x{spec.S}"


def _back(spec: ConvSpec) -> str:
    """What a gradient is, but for the extent of the convolution's image and the stride."""
    if spec.direction == BIAS_GRADIENT:
        return f"by bias {spec.K} "
    window, groups = f"{spec.R}x{spec.S}", "depthwise " if spec.is_depthwise else ""
    if spec.direction == WEIGHT_GRADIENT:
        return f"by {groups}weight {window} {spec.C}->{spec.K} "
    return f"transposed {groups}{window} {spec.K}->{spec.C} to "


def operator(spec: Spec) -> str:
    """The public function that computes it."""
    if isinstance(spec, ConvSpec):
        return DIRECTIONS[spec.direction]
    if isinstance(spec, PoolSpec):
        prefix = "adaptive_" if spec.windows == ADAPTIVE else ""
        return prefix + {"max": "max", "min": "min", "mean": "avg", "norm": "lp"}[spec.reduction] + "_pool2d"
    if isinstance(spec, ScatterSpec):
        return "max_unpool2d" if spec.combine == "last" else "grad.max_pool2d"
    return "grad.avg_pool2d" if isinstance(spec, MeanGradientSpec) else spec.direction


def is_forward(spec: Spec) -> bool:
    """Whether it is a convolution of images, or a maximum or mean of their regular windows."""
    if isinstance(spec, PoolSpec):
        return spec.reduction in ("max", "mean") and spec.windows == REGULAR
    return isinstance(spec, ConvSpec) and spec.direction == "forward"


def has_precision(spec: Spec) -> bool:
    """Whether its function takes `precision=`."""
    return isinstance(spec, ConvSpec) and spec.direction in ("forward", INPUT_GRADIENT)


def flops(spec: Spec) -> int:
    """Multiplications and additions; none of what only moves values, or adds up those that meet."""
    return getattr(spec, "flops", 0)


def backward(spec: ConvSpec, direction: str = INPUT_GRADIENT) -> ConvSpec:
    """The gradient of a convolution, as its public function makes it: of the input's the padding behind is
    less by what the last window leaves of the image.

    Examples
    --------
    >>> backward(convolution(8, 64, 56, 64, 3, stride=2)).pads
    ((1, 0), (1, 0))
    """
    if direction != INPUT_GRADIENT:
        return replace(spec, direction=direction)
    rests = [
        (extent + sum(sides) - (taps - 1) * spread - 1) % step
        for extent, taps, sides, step, spread in zip(
            (spec.H, spec.W), (spec.R, spec.S), spec.pads, spec.stride, spec.dilation, strict=True
        )
    ]
    rows, columns = ((sides[0], sides[1] - rest) for sides, rest in zip(spec.pads, rests, strict=True))
    return replace(spec, direction=direction, pads=(rows, columns))


def bias_gradient(N: int, K: int, size: int) -> ConvSpec:
    """The gradient by the bias, of which the rest of the convolution is not known."""
    return ConvSpec(N, 0, size, size, K, 1, 1, direction=BIAS_GRADIENT)


def max_gradient(spec: PoolSpec) -> ScatterSpec:
    """The gradient of a maximum of a window."""
    geometry = spec.P, spec.Q, True, spec.R, spec.S, spec.pads, spec.stride, spec.dilation
    return ScatterSpec("sum", spec.N, spec.C, spec.H, spec.W, *geometry)


def mean_gradient(spec: PoolSpec) -> MeanGradientSpec:
    """The gradient of a mean of a window."""
    geometry = spec.P, spec.Q, spec.R, spec.S, spec.pads, spec.stride
    return MeanGradientSpec("regular", spec.N, spec.C, spec.H, spec.W, *geometry)


def unpool(spec: PoolSpec) -> ScatterSpec:
    """Maxima of windows side by side, put back."""
    return ScatterSpec("last", spec.N, spec.C, spec.H, spec.W, spec.P, spec.Q)


def patches(direction: str, spec: ConvSpec) -> PatchesSpec:
    """The windows of a convolution as a matrix, "unfold", or back, "fold"."""
    return PatchesSpec(
        direction, spec.N, spec.C, spec.H, spec.W, spec.R, spec.S, spec.pads, spec.stride, spec.dilation
    )


def describe(spec: Spec) -> str:
    """The problem in one string: input, weight or window, pads, stride, and dilation and groups if any.

    Examples
    --------
    >>> describe(ConvSpec(N=8, C=64, H=56, W=56, K=64, R=3, S=3, pads=((1, 1), (1, 1))))
    '8x64x56x56 64x64x3x3 pad 1 1 1 1 stride 1 1'
    """
    shape = f"{spec.N}x{spec.C or getattr(spec, 'K', 0)}x{spec.H}x{spec.W}"  # a gradient by the bias has no C
    window, groups = f"{spec.R}x{spec.S}", ""
    if isinstance(spec, ConvSpec):
        window = f"{spec.K}x{spec.C_group}x{window}"
        groups = f" groups {spec.groups}" if spec.groups > 1 else ""
    pads = " ".join(str(side) for sides in spec.pads for side in sides)
    spread = getattr(spec, "dilation", (1, 1))
    dilation = "" if spread == (1, 1) else " dilation {} {}".format(*spread)
    return f"{shape} {window} pad {pads} stride {spec.stride[0]} {spec.stride[1]}{dilation}{groups}"


def count(specs: Iterable[Spec], name: Callable[[Spec], str] = label) -> tuple[Layer, ...]:
    """The distinct specs in order of appearance, each with its multiplicity."""
    multiplicity: dict[Spec, int] = {}
    for spec in specs:
        multiplicity[spec] = multiplicity.get(spec, 0) + 1
    return tuple(Layer(name(spec), spec, times) for spec, times in multiplicity.items())
