"""gpuconv's operators as operators of torch, in its namespace `gpuconv`.

Each is defined by what `gpuconv.operators` says of it: its arrays are tensors, its parameters have the forms
of `arguments`. A kernel hands tensors to `gpuconv.call`, a fake one asks the specs for the shapes.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import _C as _c
from torch._C import _functorch as functorch
from torch.autograd import forward_ad
from torch.fx import Proxy

from gpuconv import operators
from gpuconv.arrays import Signature, dtype_of, is_channels_last, library_of
from gpuconv.call import OPTIONAL, brief, make, results_of
from gpuconv.operators import Operator
from gpuconv.spec.parameters import SYMBOLS
from gpuconv.torch.arguments import FORMS, ODD, plain

SYMBOLS.add(torch.SymInt)
LIBRARY = torch.library.Library("gpuconv", "DEF")
DEFAULTS = {
    "padding": [0], "dilation": [1], "groups": 1, "padding_mode": "zeros", "ceil_mode": False,
    "count_include_pad": True,
}  # fmt: skip
TENSORS = (torch.Tensor, Proxy)  # of torch.fx: it has the graph call the operator
TAGS = torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides
_PLAIN = frozenset({torch.Tensor, torch.nn.Parameter, type(None)})
LIES = library_of(torch.empty(0), "input")  # how gpuconv sees tensors


def is_seen(arrays: tuple[Any, ...]) -> bool:
    """Whether somebody has to see an operator of torch: autograd, a transform, a mode, a type, the compiler.

    Where nobody has, gpuconv is called as it is, in a quarter of the time: an operator that is written in
    Python takes torch some 50 us.
    """
    if torch.compiler.is_compiling() or functorch.peek_interpreter_stack() is not None:
        return True
    if _c._len_torch_dispatch_stack() or _c._len_torch_function_stack() or _c._is_tracing():
        return True
    if forward_ad._current_level >= 0 or _c._is_any_autocast_enabled():
        return True
    if not _PLAIN.issuperset(map(type, arrays)):
        return True
    tensors = [array for array in arrays if array is not None]
    if any(tensor.is_meta for tensor in tensors):
        return True
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


class TorchOperator:
    """One of gpuconv's operators, with some of its parameters fixed, as an operator of torch.

    Attributes
    ----------
    arrays : tuple of str
        Its arguments that are tensors, first.
    parameters : tuple of str
        The others, as a user of gpuconv knows them, `algorithm` last.
    arguments : tuple of str
        As the operator of torch has them.
    overload : OpOverload
    """

    def __init__(
        self, name: str, operator: Operator, lacks: tuple[str, ...] = ("out",), **fixed: Any
    ) -> None:
        self.name, self.operator, self.lacks, self.fixed = name, operator, lacks, fixed
        self.arrays = tuple(array for array in operator.arrays if array not in lacks)
        self.parameters = (*(each for each in operator.parameters if each not in fixed), "algorithm")
        self.forms = tuple(FORMS[parameter] for parameter in self.parameters)
        optional = {array: "?" if array in OPTIONAL else "" for array in self.arrays}
        typed = [(array, f"Tensor{optional[array]}") for array in self.arrays]
        for parameter, form in zip(self.parameters, self.forms, strict=True):
            typed += [(f"{parameter}{more}", kind) for more, kind in form.types]
        self.arguments = tuple(argument for argument, _ in typed)
        results = "(Tensor, Tensor)" if fixed.get("return_indices") else "Tensor"
        schema = ", ".join(f"{kind} {argument}" for argument, kind in typed)
        LIBRARY.define(f"{name}({schema}) -> {results}", tags=TAGS)
        LIBRARY.impl(name, self._compute, "CompositeExplicitAutograd")
        torch.library.register_fake(f"gpuconv::{name}", self._infer, lib=LIBRARY)
        self.overload = getattr(torch.ops.gpuconv, name).default
        self.function: Any = None  # by which `torch.func` differentiates it
        self.cast: Callable[..., Any] = tuple  # what `torch.autocast` makes of arguments

    def __call__(self, arrays: tuple[Any, ...], parameters: tuple[Any, ...]) -> Any:
        """Call it with what a user wrote for `arrays` and `parameters`."""
        for name, array in zip(self.arrays, arrays, strict=True):
            if array is None and name not in OPTIONAL:
                raise TypeError(f"{name} must be a torch.Tensor, got NoneType")
        if not is_seen(arrays):
            *values, algorithm = parameters
            return self._make(arrays, values, algorithm)
        arguments = list(arrays)
        for form, value in zip(self.forms, parameters, strict=True):
            written = form.write(value)
            if written is ODD:
                return self._call_odd(arrays, parameters)
            arguments.extend(written)
        for name, array in zip(self.arrays, arrays, strict=True):
            if not isinstance(array, TENSORS) and array is not None:
                raise TypeError(f"{name} must be a torch.Tensor, got {type(array).__name__}")
        return self.run(*arguments)

    def run(self, *arguments: Any) -> Any:
        """Call the operator of torch.

        torch.func.grad of torch 2.13 takes none whose gradients are registered, but it takes functions.
        """
        if torch.compiler.is_compiling():
            return self.overload(*arguments)
        if forward_ad._current_level >= 0:
            self._refuse_tangents(arguments)
        transform = functorch.peek_interpreter_stack()
        if transform is not None and transform.key() != functorch.TransformType.Functionalize:
            return self.function.apply(*self.cast(arguments))
        return self.overload(*arguments)

    def _refuse_tangents(self, arguments: tuple[Any, ...]) -> None:
        for name, array in zip(self.arrays, arguments, strict=False):
            if array is not None and forward_ad.unpack_dual(array).tangent is not None:
                raise NotImplementedError(
                    f"{self.name} has no derivative in forward mode, and {name} has a tangent"
                )

    def named(self, arguments: Any) -> dict[str, Any]:
        """The arguments of the operator of torch, by their names."""
        return dict(zip(self.arguments, arguments, strict=True))

    def of(self, *arrays: Any, **arguments: Any) -> Any:
        """Call it with arrays, and with arguments of the operator of torch by name."""
        others = self.arguments[len(arrays) :]
        return self.run(*arrays, *[arguments.get(name, DEFAULTS.get(name)) for name in others])

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Its parameters, as a user would write them."""
        given = [arguments.get(name) for name in self.arguments]
        return dict(zip(self.parameters, self._read(tuple(given)), strict=True))

    def _call_odd(self, arrays: tuple[Any, ...], parameters: tuple[Any, ...]) -> Any:
        """A call with a parameter of no plain form: what gpuconv says of it, or what it stands for."""
        signatures = self._signatures(arrays)
        try:
            results_of(self.operator, signatures, self._ordered(parameters))
        except (TypeError, ValueError) as error:
            raise brief(error) from error.__cause__
        simple = tuple(map(plain, parameters))
        for name, form, value in zip(self.parameters, self.forms, simple, strict=True):
            if form.write(value) is ODD:
                raise TypeError(f"{name} cannot be handed to an operator of torch: {value!r}")
        return self(arrays, simple)

    def _ordered(self, parameters: Any) -> tuple[Any, ...]:
        """The parameters of gpuconv's operator, without `algorithm`."""
        given = iter(parameters)
        return tuple(
            self.fixed[name] if name in self.fixed else next(given) for name in self.operator.parameters
        )

    def _read(self, arguments: tuple[Any, ...]) -> list[Any]:
        """The parameters, as a user would write them."""
        values, place = [], len(self.arrays)
        for form in self.forms:
            end = place + len(form.types)
            values.append(form.read(*arguments[place:end]))
            place = end
        return values

    def _placed(self, arrays: Any) -> tuple[Any, ...]:
        """The arrays of gpuconv's operator; None for those that are left out."""
        given = iter(arrays)
        return tuple(None if name in self.lacks else next(given) for name in self.operator.arrays)

    def _compute(self, *arguments: Any) -> Any:
        *values, algorithm = self._read(arguments)
        return self._make(arguments[: len(self.arrays)], values, algorithm)

    def _make(self, arrays: tuple[Any, ...], values: list[Any], algorithm: str | None) -> Any:
        detached = [
            array.detach() if array is not None and array.requires_grad else array for array in arrays
        ]
        return make(self.operator, self._placed(detached), self._ordered(values), algorithm)

    def _infer(self, *arguments: Any) -> Any:
        """Results of the right shapes, dtypes and strides, of nothing."""
        values = self._read(arguments)
        input, *others = arguments[: len(self.arrays)]
        results = results_of(self.operator, self._signatures((input, *others)), self._ordered(values))
        keeps = is_channels_last(tuple(input.shape), tuple(input.stride()))
        made = [
            torch.empty(
                shape,
                dtype=getattr(torch, dtype),
                device=input.device,
                memory_format=torch.channels_last if keeps and len(shape) == 4 else torch.contiguous_format,
            )
            for shape, dtype in results
        ]
        return made[0] if len(made) == 1 else tuple(made)

    def _signatures(self, arrays: Any) -> tuple[Signature | None, ...]:
        *inputs, _ = self._placed(arrays)
        return tuple(None if each is None else _signature(each) for each in inputs)


def _signature(tensor: torch.Tensor) -> Signature:
    dtype = dtype_of(str(tensor.dtype).removeprefix("torch."))
    return Signature(LIES, tuple(tensor.shape), (), dtype)


def _gradient(operator: Operator) -> TorchOperator:
    return TorchOperator(f"{operator.name.removeprefix('grad.')}_gradient", operator)


_WITH_INDICES: dict[str, Any] = {"return_indices": True}
_VALUES: dict[str, Any] = {"return_indices": False}
CONV2D = TorchOperator("conv2d", operators.CONV2D)
CONV_TRANSPOSE2D = TorchOperator("conv_transpose2d", operators.CONV_TRANSPOSE2D)
DEFORM_CONV2D = TorchOperator("deform_conv2d", operators.DEFORM_CONV2D)
CONV2D_INPUT = TorchOperator("conv2d_input", operators.CONV2D_INPUT, ("bias", "out"))
CONV2D_WEIGHT = TorchOperator("conv2d_weight", operators.CONV2D_WEIGHT)
CONV2D_BIAS = TorchOperator("conv2d_bias", operators.CONV2D_BIAS)
MAX_POOL2D = TorchOperator("max_pool2d", operators.MAX_POOL2D, **_VALUES)
MAX_POOL2D_WITH_INDICES = TorchOperator("max_pool2d_with_indices", operators.MAX_POOL2D, **_WITH_INDICES)
MIN_POOL2D = TorchOperator("min_pool2d", operators.MIN_POOL2D)
AVG_POOL2D = TorchOperator("avg_pool2d", operators.AVG_POOL2D)
LP_POOL2D = TorchOperator("lp_pool2d", operators.LP_POOL2D)
ADAPTIVE_AVG_POOL2D = TorchOperator("adaptive_avg_pool2d", operators.ADAPTIVE_AVG_POOL2D)
ADAPTIVE_MAX_POOL2D = TorchOperator("adaptive_max_pool2d", operators.ADAPTIVE_MAX_POOL2D, **_VALUES)
ADAPTIVE_MAX_POOL2D_WITH_INDICES = TorchOperator(
    "adaptive_max_pool2d_with_indices", operators.ADAPTIVE_MAX_POOL2D, **_WITH_INDICES
)
MAX_UNPOOL2D = TorchOperator("max_unpool2d", operators.MAX_UNPOOL2D)
UNFOLD = TorchOperator("unfold", operators.UNFOLD)
FOLD = TorchOperator("fold", operators.FOLD)
MAX_POOL2D_GRADIENT = _gradient(operators.MAX_POOL2D_GRADIENT)
AVG_POOL2D_GRADIENT = _gradient(operators.AVG_POOL2D_GRADIENT)
ADAPTIVE_AVG_POOL2D_GRADIENT = _gradient(operators.ADAPTIVE_AVG_POOL2D_GRADIENT)
LP_POOL2D_GRADIENT = _gradient(operators.LP_POOL2D_GRADIENT)
