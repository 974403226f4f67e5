"""One convolution: every check of the user's arguments, and what follows from the shapes."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from gpuconv.spec.checks import (
    batched_shape,
    checked_dtype,
    checked_outputs,
    dtype_name,
    of_sums,
    same_dtype,
)
from gpuconv.spec.dtypes import BYTES, COMPLEX, CONVOLVED, FLOAT32, INT32, Dtype
from gpuconv.spec.epilogue import NO_EPILOGUE, Epilogue, as_epilogue
from gpuconv.spec.idioms import idioms_of
from gpuconv.spec.images import ImagesSpec
from gpuconv.spec.layouts import ConvLayouts
from gpuconv.spec.orders import hint_of_channels, noticing_channels
from gpuconv.spec.padding_mode import check_padding_mode
from gpuconv.spec.parameters import Pads, Pair, as_integer, as_pads, as_pair
from gpuconv.spec.shown import shown

PRECISIONS = (None, "ieee", "tf32")  # what the caller may ask for, from the norm, to each output, to speed
CONJUGATED = "weight", "input"  # of complex numbers, in adjoints
INPUT_GRADIENT, WEIGHT_GRADIENT, BIAS_GRADIENT = "input gradient", "weight gradient", "bias gradient"
NETWORK_CHANNELS = 32  # input channels of a group, from which a layer is one of a network and no image filter


@dataclass(frozen=True, slots=True)
class ConvSpec(ImagesSpec):
    """One 2-D convolution problem: the shapes, the parameters and the dtypes, and nothing else.

    `dtype` is the input's, and the weights' unless `weight_dtype` says another. Where `conjugate` is "weight"
    or "input", it is their conjugates that are multiplied. An `unrounded` result is of the dtype that numbers
    of 16 bits are summed in.
    Its direction is "forward"; the gradient by the input, which a transposed convolution is, and the one by
    the weight are problems of the same shapes in other directions.

    Examples
    --------
    >>> spec = ConvSpec(N=8, C=64, H=56, W=56, K=64, R=3, S=3, pads=((1, 1), (1, 1)))
    >>> spec.out_shape
    (8, 64, 56, 56)
    >>> spec.flops
    1849688064
    """

    N: int
    C: int
    H: int
    W: int
    K: int
    R: int
    S: int
    P: int = field(init=False)
    Q: int = field(init=False)
    pads: Pads = ((0, 0), (0, 0))
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    groups: int = 1
    dtype: Dtype = FLOAT32
    precision: str | None = None
    direction: str = "forward"
    padding_mode: str = "zeros"
    epilogue: Epilogue = NO_EPILOGUE
    weight_dtype: Dtype | None = None
    conjugate: str | None = None
    offset_groups: int = 0  # of a deformable convolution
    unrounded: bool = False

    # what every algorithm looks at by itself; all else must be in what it takes (`Algorithm.takes`)
    GEOMETRY: ClassVar[Collection[str]] = (
        "N", "C", "H", "W", "K", "R", "S", "P", "Q", "pads", "stride", "dilation", "groups",
    )  # fmt: skip

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", Dtype(self.dtype))
        if self.weight_dtype == self.dtype:
            object.__setattr__(self, "weight_dtype", None)
        for name, outputs in zip("PQ", checked_outputs(self), strict=True):
            object.__setattr__(self, name, outputs)

    def __hash__(self) -> int:
        """Of numbers alone, so that a set of specs has one order in every process."""
        return hash(
            (
                self.N,
                self.C,
                self.H,
                self.W,
                self.K,
                self.R,
                self.S,
                self.pads,
                self.stride,
                self.dilation,
                self.groups,
            )
        )

    @classmethod
    def from_arrays(
        cls,
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: Any = 1,
        padding_mode: Any = "zeros",
        activation: Any = None,
        residual: Any = None,
        precision: Any = None,
    ) -> "ConvSpec":
        """Check the arguments of `gpuconv.conv2d`; raise ValueError or TypeError that names the wrong one."""
        dtype = checked_dtype(input, CONVOLVED)
        N, C, H, W = batched_shape(input)
        K, C_group, R, S = weight_shape(weight)
        groups = as_integer(groups, "groups", least=1)
        check_groups(
            C, K, C_group, groups, "weight", "its dimension 1", hint_of_channels(input, weight, groups)
        )
        weight_dtype = check_beside(weight, bias, dtype, K)
        stride = as_pair(stride, "stride", least=1)
        dilation = as_pair(dilation, "dilation", least=1)
        pads = as_pads(padding, (H, W), (R, S), stride, dilation)
        check_precision(precision)
        mode = check_padding_mode(padding_mode, pads, (H, W))
        epilogue = epilogue_of(activation, residual, dtype)
        with noticing_channels(input, (R, S), dilation):
            spec = cls(
                N, C, H, W, K, R, S, pads, stride, dilation, groups, dtype, precision, padding_mode=mode,
                epilogue=epilogue, weight_dtype=weight_dtype,
            )  # fmt: skip
        check_residual(residual, input, spec)
        return spec

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(N, K, P, Q), or (N, C, H, W) of a gradient by the input; the shape of what others are by."""
        if self.direction == BIAS_GRADIENT:
            return (self.K,)
        return self.weight_shape if self.direction == WEIGHT_GRADIENT else self._shapes[1]

    @property
    def in_shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W), or (N, K, P, Q) of a gradient by the input."""
        return self._shapes[0]

    @property
    def _shapes(self) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
        image, result = (self.N, self.C, self.H, self.W), (self.N, self.K, self.P, self.Q)
        return (image, result) if self.direction in ("forward", WEIGHT_GRADIENT) else (result, image)

    @property
    def gives_images(self) -> bool:
        """The result is a batch of images, as the input is."""
        return self.direction in ("forward", INPUT_GRADIENT)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(K, C / groups, R, S)."""
        return self.K, self.C_group, self.R, self.S

    @property
    def C_group(self) -> int:
        """Input channels that one output channel sees: C / groups."""
        return self.C // self.groups

    @property
    def K_group(self) -> int:
        """Output channels of one group: K / groups."""
        return self.K // self.groups

    @property
    def dtype_of_weights(self) -> Dtype:
        """The input's, but of integers, which are of 8 bits each and may differ."""
        return self.weight_dtype or self.dtype

    @property
    def result(self) -> Dtype:
        """The dtype of the output: the input's, but int32 of integers, and float32 of unrounded sums."""
        if self.dtype in BYTES:
            return INT32
        return self.dtype.arithmetic if self.unrounded else self.dtype

    @property
    def flops(self) -> int:
        """Multiplications and additions of the direct sum: 2 N K P Q (C / groups) R S."""
        return 2 * self.N * self.K * self.P * self.Q * self.C_group * self.R * self.S

    @property
    def min_bytes(self) -> int:
        """Bytes that must move at least: input, weight and output once each."""
        dtypes = self.dtype, self.dtype_of_weights, self.result
        return sum(dtype.itemsize * size for dtype, size in zip(dtypes, _sizes(self), strict=True))

    @property
    def is_depthwise(self) -> bool:
        """Each group has one input channel, and there are several groups."""
        return self.groups > 1 and self.groups == self.C

    @property
    def is_pointwise(self) -> bool:
        """The kernel is 1x1."""
        return self.R == self.S == 1

    @property
    def allows_tf32(self) -> bool:
        """The caller allows the error of TF32, which is one of float32."""
        return self.precision == "tf32" and self.dtype == FLOAT32

    @property
    def may_mix_neighbours(self) -> bool:
        """An output may have errors relative to inputs beside its window, as those of Winograd have.

        Where the caller allows it by name, or says nothing of a layer of a network. The gain ends there too:
        Winograd's F(2x2, 3x3) takes 0.6 to 0.8 of the direct sum's time from 32 channels on (1.3 to 1.8 times
        as fast at 32 to 64 channels, images of 28 to 224; 1.0 to 1.3 times at 16 and 24; slower below; one
        core of an Intel Xeon with AVX-512, November 2026).
        """
        return self.allows_tf32 or (self.precision != "ieee" and self.C_group >= NETWORK_CHANNELS)

    @property
    def fits_int32(self) -> bool:
        """Every element offset of the (contiguous) input, weight and output is below 2^31."""
        return max(_sizes(self)) < 2**31


def epilogue_of(activation: Any, residual: Any, dtype: Dtype) -> Epilogue:
    """What is done to the sums; an activation is one of real numbers."""
    epilogue = as_epilogue(activation, residual is not None)
    if epilogue.activation is not None and dtype in (*COMPLEX, *BYTES):
        raise ValueError(f"activation must be None for an input of {dtype}, got {shown(activation)}")
    return epilogue


def without_epilogue(spec: ConvSpec, layouts: Any) -> tuple[ConvSpec, ConvLayouts]:
    """The convolution before its epilogue, and how its arrays lie."""
    arrays = (getattr(layouts, name) for name in ConvLayouts._fields)
    return replace(spec, epilogue=NO_EPILOGUE), ConvLayouts(*arrays)


def check_residual(residual: Any, input: Any, spec: ConvSpec) -> None:
    """Refuse a residual that is not of the result's shape and of its dtype."""
    if residual is None:
        return
    if spec.dtype in BYTES:
        of_sums(residual, "residual")
    else:
        same_dtype(residual, "residual", spec.dtype)
    shape = spec.out_shape if len(input.shape) == 4 else spec.out_shape[1:]
    if tuple(residual.shape) != shape:
        raise ValueError(f"residual must have the result's shape {shape}, got {tuple(residual.shape)}")


def weight_shape(weight: Any, axes: str = "(K, C / groups, R, S)") -> tuple[int, int, int, int]:
    """The shape of a weight of four such axes, none of the last two 0."""
    shape = tuple(weight.shape)
    if len(shape) != 4:
        hints = {
            2: ": one kernel of one channel is weight[None, None]",
            3: ": kernels of one channel are weight[:, None]",
        }
        hint = hints.get(len(shape), "")
        raise ValueError(f"weight must have shape {axes}, got {shape}{hint}")
    if 0 in shape[2:]:
        raise ValueError(f"weight must have a kernel of at least 1x1, got shape {shape}")
    return shape


def check_beside(weight: Any, bias: Any, dtype: Dtype, outputs: int, first: str = "input") -> Dtype:
    """The weight's dtype; refuse a weight or a bias that does not fit the input's and the output channels."""
    weight_dtype = check_weight(weight, dtype, first)
    if bias is not None:
        if dtype in BYTES:
            of_sums(bias, "bias")
        else:
            same_dtype(bias, "bias", dtype)
        if tuple(bias.shape) != (outputs,):
            raise ValueError(f"bias must have shape ({outputs},), one per output channel, got {bias.shape}")
    return weight_dtype


def check_weight(weight: Any, dtype: Dtype, first: str = "input") -> Dtype:
    """The weight's dtype: the input's, or of integers of 8 bits any such."""
    name = dtype_name(weight.dtype)
    if dtype not in BYTES:
        same_dtype(weight, "weight", dtype, first)
    elif name not in BYTES:
        hint = idioms_of(weight).cast(first, "weight.dtype")
        raise TypeError(
            f"weight must be {' or '.join(BYTES)} beside {first} of {dtype}, got {name}; nothing is cast "
            f"silently: pass {hint}"
        )
    return Dtype(name)


def _sizes(spec: ConvSpec) -> tuple[int, int, int]:
    """Elements of the input, the weight and the output."""
    return (
        spec.N * spec.C * spec.H * spec.W,
        spec.K * spec.C_group * spec.R * spec.S,
        spec.N * spec.K * spec.P * spec.Q,
    )


def check_precision(precision: Any, name: str = "precision") -> None:
    """Refuse what is no precision; `name` is what the user calls it."""
    if precision is not None and not (isinstance(precision, str) and precision in PRECISIONS):
        known = ", ".join(each for each in PRECISIONS if each)
        raise ValueError(f"{name} must be None or one of {known}; got {shown(precision)}")


def check_groups(C: int, K: int, C_group: int, groups: int, weight: str, place: str, hint: str = "") -> None:
    """Refuse groups that do not fit the channels of the input and of what is called `weight`."""
    if C % groups or K % groups:
        raise ValueError(
            f"groups={groups} must divide the {C} channels of input and the {K} output channels of "
            f"{weight}{hint}"
        )
    if C_group != C // groups:
        raise ValueError(
            f"{weight} must have C / groups = {C} / {groups} = {C // groups} channels ({place}), "
            f"got {C_group}{hint}"
        )
