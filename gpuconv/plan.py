"""A convolution made ready for many calls: checked and chosen once, then given arrays of the same shapes."""

from typing import Any

from gpuconv.algorithm import select
from gpuconv.arrays import glance
from gpuconv.calls import CONV2D, check_conv2d, prepare_conv2d
from gpuconv.operands import Extents, Operands
from gpuconv.repeat import Repeat
from gpuconv.spec import ConvSpec

Array = Any


def plan_conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: Any = None,
    residual: Array | None = None,
    precision: str | None = None,
    algorithm: str | None = None,
    out: Array | None = None,
) -> "ConvPlan":
    """Make a convolution ready: what `conv2d` checks and chooses in each call is done once.

    Parameters
    ----------
    input, weight, bias, stride, padding, dilation, groups
        As in `conv2d`. Of the arrays only what they are matters, not what they hold.
    padding_mode, activation, residual, precision, algorithm, out
        As in `conv2d`.

    Returns
    -------
    ConvPlan
        `plan(input, weight, bias=None, residual=None, out=None)` computes, with arrays of the shapes and the
        dtype of these, on the CPU if these are there, else on a GPU. It may be called by several threads.

    Raises
    ------
    TypeError, ValueError
        What `conv2d` would raise.

    Examples
    --------
    >>> import numpy as np, gpuconv
    >>> x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3))
    >>> plan = gpuconv.plan_conv2d(x, w, padding=1)
    >>> plan(x, w)[0, 0, 1]
    array([6., 9., 6.])
    >>> plan.spec.out_shape
    (1, 1, 3, 3)
    """
    parameters = stride, padding, dilation, groups, padding_mode, activation
    operands, spec = prepare_conv2d(input, weight, bias, *parameters, residual, precision, out)
    return ConvPlan(operands, spec, parameters, precision, algorithm)


class ConvPlan:
    """What `plan_conv2d` returns.

    Attributes
    ----------
    spec : ConvSpec
        The problem.
    algorithm : str
        The name of the algorithm that computes it.
    """

    __slots__ = ("_admitted", "_parameters", "_planned", "_precision", "_repeat", "algorithm", "spec")

    def __init__(
        self,
        operands: Operands,
        spec: ConvSpec,
        parameters: tuple[Any, ...],
        precision: str | None,
        algorithm: str | None,
    ) -> None:
        self.spec = spec
        self.algorithm = select(operands.backend.CONVOLUTIONS, spec, algorithm).name
        self._parameters, self._precision = parameters, precision
        self._planned = operands.signatures
        self._admitted = operands.signatures, operands.extents  # of the last call
        self._repeat: tuple[Any, Repeat] = (), Repeat()  # and how its arrays lay, what was queued

    def __repr__(self) -> str:
        return f"<{self.algorithm} for {self.spec}>"

    def __call__(
        self,
        input: Array,
        weight: Array,
        bias: Array | None = None,
        residual: Array | None = None,
        out: Array | None = None,
    ) -> Array:
        """Convolve; what the arguments hold may differ from call to call, what they are may not.

        Raises
        ------
        TypeError, ValueError
            Naming the argument and its value, before any memory is touched.
        """
        arrays = input, weight, bias, out
        seen = glance(arrays) if residual is None else None
        layouts, repeat = self._repeat
        if seen is not None and seen.layouts == layouts:
            result = repeat.start(seen, out)
            if result is not None:
                return result
        operands = Operands(CONV2D, arrays)
        signatures, operands.extents = self._admitted
        if operands.signatures != signatures or residual is not None:
            operands.extents = self._admit(operands.signatures, residual)
        backend = operands.backend
        y = operands.result(self.spec.out_shape, self.spec.dtype)
        _, w, b, _ = operands.views
        launched = backend.conv2d(self.spec, operands.batch, w, b, y.view, self.algorithm)
        if seen is not None:
            repeat = Repeat()
            repeat.keep(launched, operands, y)
            self._repeat = seen.layouts, repeat
        return y.publish()

    def _admit(self, signatures: tuple, residual: Array | None) -> Extents:
        """How far arrays reach that may lie otherwise in memory than those of the call before, checked."""
        for name, now, then in zip(("input", "weight"), signatures, self._planned, strict=False):
            (_, shape, _, dtype, device), (_, planned_shape, _, planned_dtype, planned_device) = now, then
            if (shape, dtype) != (planned_shape, planned_dtype):
                raise ValueError(
                    f"{name} must be {planned_dtype} of shape {planned_shape}, as planned; got {dtype} of "
                    f"shape {shape}"
                )
            if (device is None) != (planned_device is None):
                places = ["the CPU" if one is None else "a GPU" for one in (device, planned_device)]
                raise ValueError(f"{name} is on {places[0]}, and the plan for {places[1]}")
        _, extents = check_conv2d(signatures, *self._parameters, residual, self._precision)
        self._admitted = signatures, extents
        return extents
