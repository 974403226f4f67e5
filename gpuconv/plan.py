"""A convolution made ready for many calls: checked and chosen once, then given arrays of the same shapes."""

from typing import Any

from gpuconv.arrays import Array, Padding, Sides, Signature, check_held, see
from gpuconv.call import brief, recall
from gpuconv.operators import CONV2D
from gpuconv.replay import Familiar, Replay, familiar, settings, wrong_memory


def plan_conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sides = 1,
    padding: Padding = 0,
    dilation: Sides = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: str | tuple[str, float] | None = None,
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
        After a change of the number of threads, of the workspace's limit or of the program's precision it is
        chosen anew.

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
    parameters = stride, padding, dilation, groups, padding_mode, activation, precision
    return ConvPlan((input, weight, bias, residual, out), parameters, algorithm)


class ConvPlan:
    """What `plan_conv2d` returns: a call pinned. It is written as what it was when it was last called."""

    __slots__ = ("_familiar", "_forced", "_last", "_parameters", "_planned")

    def __init__(self, arrays: tuple[Any, ...], parameters: tuple[Any, ...], algorithm: str | None) -> None:
        try:
            check_held(CONV2D.arrays, arrays)
            places, signatures, _, _ = see(CONV2D.arrays, arrays)
            replay = recall(CONV2D, signatures, parameters, algorithm)
        except (TypeError, ValueError) as error:
            raise brief(error) from error.__cause__
        if arrays[-1] is not None and (reason := wrong_memory(replay.call, places)):
            raise ValueError(reason)
        self._parameters, self._forced = parameters, algorithm
        self._planned = signatures
        self._last: tuple[Any, Replay] = signatures, replay
        self._familiar: Familiar | None = None

    @property
    def spec(self) -> Any:
        """The problem, a ConvSpec, by the settings of the program now."""
        return self._as_planned().call.spec

    @property
    def algorithm(self) -> str:
        """The name of what computes it now, for arrays that lie in memory as the planned ones do."""
        return self._as_planned().algorithm.name

    def _as_planned(self) -> Replay:
        return recall(CONV2D, self._planned, self._parameters, self._forced)

    def __repr__(self) -> str:
        _, last = self._last
        return f"<{last.algorithm.name} for {last.call.spec}>"

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
        arrays = input, weight, bias, residual, out
        last = self._familiar
        if last is not None and last.recognize(arrays, ()) and last.replay.settings == settings():
            return last.replay.repeat(arrays)
        places, signatures, stream, foreign = see(CONV2D.arrays, arrays)
        known, replay = self._last
        if signatures != known or replay.settings != settings():
            replay = self._admit(signatures)
        else:  # for the second time
            self._familiar = familiar(replay, arrays, signatures, ())
        return replay.run(out, places, stream, foreign)

    def _admit(self, signatures: tuple[Any, ...]) -> Replay:
        """A call of arrays that may lie otherwise in memory than those of the call before."""
        for name, now, then in zip(("input", "weight"), signatures, self._planned, strict=False):
            given, planned = Signature(*now), Signature(*then)
            if (given.shape, given.dtype) != (planned.shape, planned.dtype):
                raise ValueError(
                    f"{name} must be {planned.dtype} of shape {planned.shape}, as planned; got {given.dtype} "
                    f"of shape {given.shape}"
                )
            if (given.device is None) != (planned.device is None):
                places = ["the CPU" if each.device is None else "a GPU" for each in (given, planned)]
                raise ValueError(f"{name} is on {places[0]}, and the plan for {places[1]}")
        replay = recall(CONV2D, signatures, self._parameters, self._forced)
        self._last = signatures, replay
        return replay
