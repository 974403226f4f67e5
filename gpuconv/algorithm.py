"""An algorithm, and the one place where the algorithm for a problem is chosen.

Each operator's room lists its algorithms in order of preference, as `cpu/conv/__init__.py` does; that list is
the architecture on a page, as oneDNN's implementation lists are. A problem is a spec, how its arrays lie, and
the device: all that a choice can depend on is seen before it is made, so what is chosen is what runs.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from gpuconv.spec import Layouts, Spec, shown

Algorithms = tuple["Algorithm", ...]


class _Any(frozenset):
    """Every value of an option."""

    def __contains__(self, value: object) -> bool:
        return True


ANY: Collection[Any] = _Any()


class AllBut(frozenset):
    """Every value of an option but those that are named."""

    def __contains__(self, value: object) -> bool:
        return not frozenset.__contains__(self, value)

    def __str__(self) -> str:
        return f"all but {' or '.join(map(repr, self))}"


_OF_PRECISION = {"ieee": "leaves out what mixes neighbours", "tf32": "changes nothing here"}


def remark_of_precision(spec: Spec) -> str:
    """What the precision that the caller asks for changes, of a plain sum."""
    precision = getattr(spec, "precision", None)
    return f"precision={precision!r} {_OF_PRECISION[precision]}" if precision in _OF_PRECISION else ""


@dataclass(frozen=True, slots=True, eq=False)
class Algorithm:
    """One way to compute an operator.

    Attributes
    ----------
    name : str
        What the user writes to force it: `algorithm="conv_direct"`.
    takes : mapping
        The values that it takes of each option of the spec, such as its dtypes. Of an option that is not
        named here it takes the default alone: a new option reaches nobody who was not taught it.
    unsupported : callable
        `unsupported(spec, layouts, device)` is the reason why the result would be wrong, or None: a matter of
        correctness, of extents, of how arrays lie and of the device.
    worth : callable
        `worth(spec, layouts, device)` says whether it is the fast choice among those that follow it: a matter
        of speed.
    plan : callable
        `plan(spec, layouts, device)` works out all that can be said before the arrays are there. On the CPU
        it returns a function of the arrays, on a GPU what can be queued (`gpuconv.replay`). It is asked once
        for all calls of a kind, and chooses no other algorithm.
    fast_for : str
        In words, what it is worthwhile for, and the speed that was measured or predicted: what `explain`
        tells the user.
    remark : callable
        `remark(spec)` is what `explain` adds, if it runs: what the options of the problem change.
    cost : callable or None
        `cost(spec, layouts, device)` predicts the seconds that it takes: of those that are worthwhile and can
        say so, the cheapest is taken, and of equals the first.
    """

    name: str
    takes: Mapping[str, Collection[Any]]
    unsupported: Callable[[Any, Any, Any], str | None]
    worth: Callable[[Any, Any, Any], bool]
    plan: Callable[[Any, Any, Any], Any]
    fast_for: str
    remark: Callable[[Any], str] = remark_of_precision
    cost: Callable[[Any, Any, Any], float] | None = None


def always(spec: Any, layouts: Any, device: Any) -> bool:
    """`worth` of an algorithm that its `cost` alone speaks for or against."""
    return True


def refusal(algorithm: Algorithm, spec: Spec, layouts: Layouts, device: Any) -> str | None:
    """Why an algorithm cannot run a problem, or None where it can."""
    return _not_taken(algorithm.takes, spec) or algorithm.unsupported(spec, layouts, device)


def _not_taken(takes: Mapping[str, Collection[Any]], spec: Spec) -> str | None:
    for option in fields(spec):
        if option.name in spec.GEOMETRY:
            continue
        value = getattr(spec, option.name)
        taken = takes.get(option.name)
        if taken is None:
            taken = () if option.default is MISSING else (option.default,)
        if value not in taken:
            known = str(taken) if isinstance(taken, AllBut) else " or ".join(map(repr, taken)) or "none"
            return f"of {option.name} it takes {known}, not {value!r}"
    return None


def select(
    algorithms: Algorithms, spec: Spec, layouts: Layouts, device: Any, name: str | None = None
) -> Algorithm:
    """The cheapest algorithm that is supported and worthwhile; or the one named.

    Of those that predict no cost the first, before which none that does is listed; where none is worthwhile,
    the first that is supported.

    Raises
    ------
    ValueError
        If `name` is not in the list, or cannot run the problem: the message says why.
    """
    if name is not None:
        return _named(algorithms, spec, layouts, device, name)
    reasons = [(each, refusal(each, spec, layouts, device)) for each in algorithms]
    supported = [each for each, reason in reasons if reason is None]
    if not supported:
        told = "; ".join(f"{each.name}: {reason}" for each, reason in reasons)
        raise ValueError(f"no algorithm can run this problem: {told}")
    if 0 in spec.out_shape:
        return supported[0]
    worthwhile = [each for each in supported if each.worth(spec, layouts, device)]
    first, *_ = worthwhile or supported
    if first.cost is None:
        return first
    priced = [(each.cost(spec, layouts, device), each) for each in worthwhile or supported if each.cost]
    return min(priced, key=lambda each: each[0])[1]


def plan_by(algorithms: Algorithms, spec: Spec, layouts: Layouts, device: Any) -> Any:
    """The plan of what `select` takes: how an algorithm leaves a problem of its own to a list of others."""
    return select(algorithms, spec, layouts, device).plan(spec, layouts, device)


def refused_by_all(algorithms: Algorithms, spec: Spec, layouts: Layouts, device: Any) -> str | None:
    """Why none of the algorithms can run a problem, in the words of the last, or None where one can."""
    reasons = [refusal(each, spec, layouts, device) for each in algorithms]
    return reasons[-1] if all(reasons) else None


def explain(
    algorithms: Algorithms, spec: Spec, layouts: Layouts, device: Any, name: str | None = None
) -> list[tuple[str, str]]:
    """(name, verdict) of each algorithm, the one that `select` takes first."""
    chosen = select(algorithms, spec, layouts, device, name)
    problem = spec, layouts, device
    remark = chosen.remark(spec)
    said = f"selected{_prediction(chosen, *problem)}: for {chosen.fast_for}{remark and '; '}{remark}"
    verdicts = [(chosen.name, said)]
    for algorithm in algorithms:
        if algorithm is chosen:
            continue
        reason = refusal(algorithm, *problem)
        if reason is not None:
            verdict = f"unsupported: {reason}"
        else:
            verdict = f"supported, {_why_not(algorithm, *problem)}: for {algorithm.fast_for}"
        verdicts.append((algorithm.name, verdict))
    return verdicts


def _why_not(algorithm: Algorithm, spec: Spec, layouts: Layouts, device: Any) -> str:
    if not _is_worthwhile(algorithm, spec, layouts, device):
        return "not worthwhile here"
    return _prediction(algorithm, spec, layouts, device)[2:] or "comes later in the list"


def _prediction(algorithm: Algorithm, spec: Spec, layouts: Layouts, device: Any) -> str:
    """The time that it is predicted to take, if it is."""
    if algorithm.cost is None or 0 in spec.out_shape:
        return ""
    return f", predicted to take {1e3 * algorithm.cost(spec, layouts, device):.3g} ms"


def _is_worthwhile(algorithm: Algorithm, spec: Spec, layouts: Layouts, device: Any) -> bool:
    """Of an empty result, whose speed no algorithm has to tell, each is as good as another."""
    return 0 in spec.out_shape or algorithm.worth(spec, layouts, device)


def _named(algorithms: Algorithms, spec: Spec, layouts: Layouts, device: Any, name: str) -> Algorithm:
    if not isinstance(name, str):
        raise TypeError(f"algorithm must be None or a name; got {shown(name)}")
    for algorithm in algorithms:
        if algorithm.name == name:
            reason = refusal(algorithm, spec, layouts, device)
            if reason is not None:
                raise ValueError(f"algorithm {name!r} cannot run this problem: {reason}")
            return algorithm
    names = ", ".join(algorithm.name for algorithm in algorithms)
    raise ValueError(f"algorithm must be None or one of {names}; got {shown(name)}")
