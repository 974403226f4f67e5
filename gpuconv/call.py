"""What a call means, and the memory of calls: the same call again is only a look-up.

    arrays, parameters -> signatures -> Call(spec, layouts, device, algorithm) -> Replay -> kernel

`understand` checks everything once: the arrays among each other, the parameters (`gpuconv.spec`), `out`, and
chooses the algorithm. All of that depends on the signatures of the arrays and on the parameters alone, so
what came of it, a `Replay`, is remembered by them, for every library and both engines: `make` looks it up,
learns it if it is new, and runs it. A `Call` holds no array, since it is kept.

Equal is not the same here, where 1 == 1.0 == True: only plain parameters, of which type and value tell all,
are looked up. Errors are not kept.
"""

import functools
import inspect
import math
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from numpy import ndarray

from gpuconv.algorithm import Algorithm, select
from gpuconv.arrays import Extent, Signature, check_held, extent, holder_of, is_channels_last, library_of, see
from gpuconv.engines import engine_of
from gpuconv.operators import OPERATORS, Operator
from gpuconv.replay import SAME, Familiar, Replay, familiar, replay_of, settings, wrong_memory
from gpuconv.spec import ConvSpec, Dtype, Layout, Layouts, PoolSpec, Spec, check_out, shown
from gpuconv.spec.dtypes import INT64
from gpuconv.spec.layouts import channels_last, contiguous_strides, packed

CALLS = 4096  # that are remembered
ALIKE = 4  # that differ in nothing but weights, strides, dtypes and what is left out, and are familiar
OPTIONAL = ("bias", "residual", "mask", "out")  # arrays that may be left out
SIZING = (  # parameters by which a result may be larger than an input
    "padding", "stride", "dilation", "kernel_size", "output_padding", "output_size", "input_size",
    "weight_size",
)  # fmt: skip
ADDRESSABLE = 2**63
KEEPS_FORMAT = ("conv", "conv_grad", "pool")  # rooms whose results on the CPU are channels-last as inputs are
UNSEEN = ("residual",)  # of which, where they are, no algorithm sees anything
_PLAIN = frozenset({int, float, str, bool, type(None), PoolSpec})
_OF_PARTS = frozenset({tuple, ConvSpec})  # which are plain if their parts are
_known: dict[tuple, Any] = {}  # replays; and by less than all of it, calls made again: several Familiar
_learning = threading.Lock()


class Call(NamedTuple):
    """What a call means: all that can be said before its arrays are touched.

    Attributes
    ----------
    operator : Operator
    signatures : tuple of Signature or None
        Of `operator.arrays`.
    extents : tuple of Extent or None
        How far each of them reaches.
    spec, layouts, device
        The problem; the device is the engine's description of it.
    algorithms : tuple of Algorithm
        Those of the engine for this operator.
    forced : str or None
        The name by which the user forces one of them.
    """

    operator: Operator
    signatures: tuple[Signature | None, ...]
    extents: tuple[Extent | None, ...]
    spec: Spec
    layouts: Layouts
    device: Any
    algorithms: tuple[Algorithm, ...]
    forced: str | None

    @property
    def input(self) -> Signature:
        """The signature of the input."""
        return self.signatures[0]  # type: ignore[return-value]

    @property
    def algorithm(self) -> Algorithm:
        """The one that runs: the one named, or the one that `select` takes, now."""
        return select(self.algorithms, self.spec, self.layouts, self.device, self.forced)

    @property
    def is_batched(self) -> bool:
        return len(self.input.shape) == self.operator.axes

    @property
    def keeps_format(self) -> bool:
        """A fresh result is channels-last, as the input is."""
        return _keeps_format(self.operator, self.input, self.spec)

    @property
    def left_out(self) -> tuple[int, ...]:
        """The places of arrays that are left out and that algorithms are not given a place for."""
        arrays = zip(self.operator.arrays, self.signatures, strict=True)
        return tuple(place for place, (name, given) in enumerate(arrays) if name in UNSEEN and given is None)

    @property
    def unbatched(self) -> tuple[int, ...]:
        """The places of the arrays and results that lack the axis of images."""
        if self.is_batched:
            return ()
        given = [each for place, each in enumerate(self.signatures) if place not in self.left_out]
        *inputs, out = range(len(given))
        unbatched = self.operator.axes - 1
        lacking = [place for place in inputs if (array := given[place]) and len(array.shape) == unbatched]
        return (*lacking, *range(out, out + len(self.results))) if self.spec.gives_images else (*lacking,)

    @property
    def results(self) -> list[tuple[tuple[int, ...], Dtype]]:
        """Shape, as the user gets it, and dtype of each result."""
        return _results(self.spec, self.is_batched)


def make(operator: Operator, arrays: tuple[Any, ...], parameters: tuple[Any, ...], name: str | None) -> Any:
    """Make the call: its result, or its results."""
    key: tuple[Any, ...] | None = None
    alike: tuple[Familiar, ...] = ()
    if type(arrays[0]) is ndarray:
        key = operator.name, name, arrays[0].shape, parameters, settings()
        try:
            alike = _known.get(key, ())
        except (TypeError, ValueError):  # a parameter has no hash
            key = None
    for recognize, known, _, its in alike:
        found = recognize(arrays, parameters)
        if found and (found == SAME or _are_same(parameters, its)):
            return known.repeat(arrays)
    try:
        if (holder := holder_of(arrays)) is not None:
            return holder.call(operator, arrays, parameters, name)
        places, signatures, stream, foreign = see(operator.arrays, arrays, operator.fills)
        replay = recall(operator, signatures, parameters, name)
    except (TypeError, ValueError) as error:
        raise brief(error) from error.__cause__
    if key is not None:
        _become_familiar(key, replay, arrays, signatures, parameters)
    return replay.run(arrays[-1], places, stream, foreign)


def make_of(operator: Operator, arrays: tuple[Any, ...], spec: Spec, name: str | None) -> Any:
    """The result, or the results, of a problem that is understood already: one of a checked call's parts."""
    places, signatures, stream, foreign = see(operator.arrays, arrays)
    understood = operator._replace(parameters=("spec",), spec=_as_understood)
    replay = recall(understood, signatures, (spec,), name)
    return replay.run(arrays[-1], places, stream, foreign)


def _as_understood(*arrays_and_spec: Any) -> Spec:
    return arrays_and_spec[-1]


def _are_same(parameters: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Of two that are equal: whether they are the same, too."""
    return [*map(type, parameters)] == [*map(type, others)] and all(map(_is_plain, parameters))


def _become_familiar(
    key: tuple, replay: Replay, arrays: tuple[Any, ...], signatures: tuple[Any, ...], parameters: tuple
) -> None:
    """Have such a call recognized from now on, if it is made for the second time."""
    if not replay.is_known:
        replay.is_known = True
        return
    if any(each.replay is replay for each in _known.get(key, ())):
        return
    new = familiar(replay, arrays, signatures, parameters)
    if new is not None:
        with _learning:
            _remember(key, (new, *_known.get(key, ())[: ALIKE - 1]))


def as_tuple(size: Any) -> Any:
    """A list, of which calls are not remembered, as a tuple."""
    return tuple(size) if isinstance(size, list) else size


def brief(error: Exception) -> Exception:
    """What is wrong with the arguments, without the frames of this package that found it.

    Unless Python runs in its development mode, ``python -X dev``.
    """
    return error if sys.flags.dev_mode else error.with_traceback(None)


def recall(
    operator: Operator, signatures: tuple[Any, ...], parameters: tuple[Any, ...], name: str | None
) -> Replay:
    """What was learned of such a call, or is learned now."""
    kinds = tuple(map(type, parameters))
    key = operator.name, signatures, parameters, name, kinds, settings()
    if _OF_PARTS.isdisjoint(kinds) or all(map(_is_plain, parameters)):
        try:
            return _known[key]
        except (KeyError, TypeError, ValueError):  # new, or a parameter has no hash: a list, a timedelta64
            pass
    replay = replay_of(understand_signatures(operator, signatures, parameters, name))
    if all(map(_is_plain, (*parameters, name))):
        with _learning:
            _remember(key, replay)
    return replay


def _remember(key: tuple, learned: Replay | tuple[Familiar, ...]) -> None:
    while len(_known) >= CALLS:
        del _known[next(iter(_known))]
    _known[key] = learned


def _is_plain(parameter: Any) -> bool:
    """A plain value, a tuple of integers, or of tuples of integers, or a name and its parameter.

    Not -0.0, which is equal to 0.0.
    """
    if type(parameter) is tuple:
        if len(parameter) == 2 and type(parameter[0]) is str:
            kind = type(parameter[1])
            return kind in (str, int) or (kind is float and (parameter[1] != 0 or str(parameter[1]) == "0.0"))
        return all(type(each) is int or (type(each) is tuple and _is_plain(each)) for each in parameter)
    kind = type(parameter)
    if kind is ConvSpec:
        return parameter.epilogue.parameter != 0 or str(parameter.epilogue.parameter) == "0.0"
    return kind in _PLAIN


def forced(function: Callable[..., Any], name: str, *arguments: Any, **keywords: Any) -> Callable[[], Any]:
    """The call of a public operator by an algorithm, also of those that let no user name one."""
    if "algorithm" in inspect.signature(function).parameters:
        return functools.partial(function, *arguments, **keywords, algorithm=name)
    operator, arrays, parameters, _ = _given(function, arguments, keywords)
    return functools.partial(make, operator, arrays, parameters, name)


def understand(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Call:
    """What a call of a public operator means; nothing is computed. Raises what the call would raise."""
    operator, arrays, parameters, name = _given(function, arguments, keywords)
    try:
        check_held(operator.arrays, arrays)
        places, signatures, _, _ = see(operator.arrays, arrays, operator.fills)
        call = understand_signatures(operator, signatures, parameters, name)
    except (TypeError, ValueError) as error:
        raise brief(error) from error.__cause__
    if arrays[-1] is not None and (reason := wrong_memory(call, places)):
        raise ValueError(reason)
    return call


def _given(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[Operator, tuple[Any, ...], tuple[Any, ...], str | None]:
    """The operator that a function is, its arrays, its parameters, and the algorithm that is named."""
    name, module = getattr(function, "__name__", ""), getattr(function, "__module__", "")
    operator = OPERATORS.get(name)
    if module == "gpuconv.grad":
        operator = OPERATORS.get(f"grad.{name}", operator)
    if operator is None or not module.startswith(("gpuconv.api.", "gpuconv.grad")):
        got = getattr(function, "__name__", f"<{type(function).__name__}>")
        raise TypeError(f"function must be one of gpuconv's {', '.join(OPERATORS)}; got {got}")
    try:
        bound = inspect.signature(function).bind(*arguments, **keywords)
    except TypeError as error:
        raise TypeError(f"{operator.name}: {error}") from None
    bound.apply_defaults()
    given = bound.arguments
    arrays = tuple(given.get(name) for name in operator.arrays)
    return operator, arrays, tuple(given[name] for name in operator.parameters), given.get("algorithm")


def understand_signatures(
    operator: Operator, signatures: tuple[Any, ...], parameters: tuple[Any, ...], name: str | None
) -> Call:
    """What a call of arrays with these signatures means, checked.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value.
    """
    checked = tuple(None if values is None else Signature(*values) for values in signatures)
    input: Any = checked[0]
    *inputs, out = checked
    for array, signature in zip(operator.arrays, checked, strict=True):
        if signature is not None:
            _check_beside(array, signature, operator.arrays[0], input)
        elif array not in OPTIONAL:
            library_of(None, array)
    spec = operator.spec(*inputs, *parameters)
    is_batched = len(input.shape) == operator.axes
    _check_sizes(operator, spec, is_batched, input, parameters)
    if out is not None:
        shape, dtype = _results(spec, is_batched)[0]
        check_out(out, shape, dtype)
        if not _extent(out).is_injective:
            raise ValueError(f"out has elements that share memory: strides {out.strides}")
        if not out.writeable:
            raise ValueError("out is read-only")
    extents = tuple(None if signature is None else _extent(signature) for signature in checked)
    engine = engine_of(input.device)
    layouts, device = _layouts(operator, spec, checked), engine.device(input.device)
    algorithms = engine.ALGORITHMS[operator.room]
    return Call(operator, checked, extents, spec, layouts, device, algorithms, name)


def _check_beside(name: str, array: Signature, first: str, input: Signature) -> None:
    """Refuse an array that may not stand in one call with the input, or that its engine cannot read."""
    library, other = array.library, input.library
    if library is not other and library.kind(array.device) != other.kind(input.device):
        raise TypeError(
            f"{name} is of {library.name} and {first} of {other.name}: the arrays of one call must be of one "
            "library"
        )
    if array.device != input.device:
        raise ValueError(
            f"{name} is on {array.place} and {first} on {input.place}: nothing is moved between devices"
        )
    if array.device is not None and (not _extent(array).are_whole or array.offset % array.dtype.itemsize):
        raise ValueError(f"{name} has elements that do not lie on multiples of their size, which a GPU needs")


def _check_sizes(
    operator: Operator, spec: Spec, is_batched: bool, input: Signature, parameters: tuple[Any, ...]
) -> None:
    """Refuse a result of more bytes than an array can have; axes of no extent count as one, as in NumPy."""
    for shape, dtype in _results(spec, is_batched):
        if math.prod(length or 1 for length in shape) * dtype.itemsize >= ADDRESSABLE:
            given = zip(operator.parameters, parameters, strict=True)
            those = ", ".join(f"{name}={shown(value)}" for name, value in given if name in SIZING)
            raise ValueError(
                f"{operator.arrays[0]} of shape {input.shape} with {those} has a result of shape {shape}, "
                "beyond the 2^63 bytes of any array"
            )


def _extent(array: Signature) -> Extent:
    return extent(array.shape, array.strides, array.dtype.itemsize)


def _results(spec: Spec, is_batched: bool) -> list[tuple[tuple[int, ...], Dtype]]:
    shape: tuple[int, ...] = spec.out_shape if is_batched or not spec.gives_images else spec.out_shape[1:]
    results = [(shape, spec.result)]
    if getattr(spec, "return_indices", False):
        results.append((shape, INT64))
    return results


def results_of(
    operator: Operator, inputs: tuple[Signature | None, ...], parameters: tuple[Any, ...]
) -> list[tuple[tuple[int, ...], Dtype]]:
    """Shape and dtype of each result for arrays with such signatures, without `out`; sizes may be symbols.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value.
    """
    input: Any = inputs[0]
    return _results(operator.spec(*inputs, *parameters), len(input.shape) == operator.axes)


def _layouts(operator: Operator, spec: Spec, signatures: tuple[Any, ...]) -> Layouts:
    """How the arrays lie, as batches; fresh results without gaps, from an aligned address on, on the CPU
    channels-last where the input is."""
    axes = *[operator.axes] * (len(signatures) - 1), len(spec.out_shape)
    laid: list[Any] = [
        None if each is None else _layout(each, batched)
        for each, batched in zip(signatures, axes, strict=True)
    ]
    *inputs, out = laid
    (_, dtype), *more = _results(spec, True)
    fresh = channels_last if _keeps_format(operator, signatures[0], spec) else packed
    y = out or fresh(spec.out_shape, dtype.numpy)
    return operator.layouts(*inputs, y, *(fresh(shape, each.numpy) for shape, each in more))


def _keeps_format(operator: Operator, input: Signature, spec: Spec) -> bool:
    is_known = operator.room in KEEPS_FORMAT and input.device is None and len(spec.out_shape) == 4
    return is_known and is_channels_last(input.shape, input.strides)


def _layout(array: Signature, axes: int) -> Layout:
    """How an array lies, as a batch of so many axes; an empty one, whose strides mean nothing, as if without
    gaps."""
    shape, strides = array.shape, array.strides
    if 0 in shape:
        strides = contiguous_strides(shape, array.dtype.itemsize)
    if len(shape) == axes - 1:
        shape, strides = (1, *shape), (0, *strides)
    return Layout(shape, strides, array.dtype, array.offset)
