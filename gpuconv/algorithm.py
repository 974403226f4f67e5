"""An algorithm, and the one place where the algorithm for a problem is chosen.

Each backend lists its algorithms for an operator in order of preference, `cpu/__init__.py` and
`cuda/__init__.py`; that list is the architecture on a page, as oneDNN's implementation lists are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gpuconv.remembered import remembered
from gpuconv.spec import Spec
from gpuconv.workspace import when_limit_changes


@dataclass(frozen=True, slots=True, eq=False)
class Algorithm:
    """One way to compute an operator.

    Attributes
    ----------
    name : str
        What the user writes to force it: `algorithm="conv_direct"`.
    unsupported : callable
        `unsupported(spec)` is the reason why the result would be wrong, or None: a matter of correctness.
    worth : callable
        `worth(spec)` says whether it is the fast choice among those that follow it: a matter of speed.
    run : callable
        `run(spec, *arrays)` computes into the output arrays. What it returns, if it has a method
        `queue(device, stream, pointers)`, can be queued again for arrays that lie likewise, behind whose
        pointers goes that of `elements` float32 to work in, if it wants any (`gpuconv.repeat`).
    fast_for : str
        In words, what it is worthwhile for, and the speed that was measured: what `explain` tells the user.
    """

    name: str
    unsupported: Callable[[Any], str | None]
    worth: Callable[[Any], bool]
    run: Callable[..., Any]
    fast_for: str = ""


def select(algorithms: tuple[Algorithm, ...], spec: Spec, name: str | None = None) -> Algorithm:
    """The first algorithm that is supported and worthwhile, else the first supported; or the one named.

    Raises
    ------
    ValueError
        If `name` is not in the list, or cannot run `spec`: the message says why.
    """
    return _selected((algorithms, spec), name)


@remembered
def _selected(problem: tuple[tuple[Algorithm, ...], Spec], name: str | None) -> Algorithm:
    algorithms, spec = problem
    if name is not None:
        return _named(algorithms, spec, name)
    fallback = None
    for algorithm in algorithms:
        if algorithm.unsupported(spec) is None:
            if algorithm.worth(spec):
                return algorithm
            fallback = fallback or algorithm
    if fallback is None:
        reasons = "; ".join(f"{algorithm.name}: {algorithm.unsupported(spec)}" for algorithm in algorithms)
        raise ValueError(f"no algorithm can run this problem: {reasons}")
    return fallback


when_limit_changes(_selected.forget)


def explain(algorithms: tuple[Algorithm, ...], spec: Spec, name: str | None = None) -> list[tuple[str, str]]:
    """(name, verdict) of each algorithm, the one that `select` takes first."""
    chosen = select(algorithms, spec, name)
    rest = [
        (algorithm.name, _verdict(algorithm, spec)) for algorithm in algorithms if algorithm is not chosen
    ]
    return [(chosen.name, _with_words("selected", chosen)), *rest]


def _verdict(algorithm: Algorithm, spec: Spec) -> str:
    reason = algorithm.unsupported(spec)
    if reason is not None:
        return f"unsupported: {reason}"
    verdict = "comes later in the list" if algorithm.worth(spec) else "not worthwhile here"
    return _with_words(f"supported, {verdict}", algorithm)


def _with_words(verdict: str, algorithm: Algorithm) -> str:
    return f"{verdict}: for {algorithm.fast_for}" if algorithm.fast_for else verdict


def _named(algorithms: Sequence[Algorithm], spec: Spec, name: str) -> Algorithm:
    if not isinstance(name, str):
        raise TypeError(f"algorithm must be None or a name; got {name!r}")
    for algorithm in algorithms:
        if algorithm.name == name:
            reason = algorithm.unsupported(spec)
            if reason is not None:
                raise ValueError(f"algorithm {name!r} cannot run this problem: {reason}")
            return algorithm
    names = ", ".join(algorithm.name for algorithm in algorithms)
    raise ValueError(f"algorithm must be None or one of {names}; got {name!r}")
