"""An algorithm, and the one place where the algorithm for a problem is chosen."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

GEOMETRY = frozenset((*"NCHWKRSPQ", "pads", "stride", "dilation", "groups", "ceil_mode", "_hash"))


class Anything:
    """It contains every value."""

    def __contains__(self, value: object) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


ANY = Anything()


@dataclass(frozen=True, slots=True, eq=False)
class Algorithm:
    """One way to compute an operator; `takes` has values of the spec's fields, by default their defaults."""

    name: str
    takes: Mapping[str, Collection]
    unsupported: Callable[[Any, Any, Any], str | None]
    worth: Callable[[Any, Any, Any], bool]
    plan: Callable[[Any, Any, Any], Any] = None  # type: ignore[assignment]
    fast_for: str = ""


def refusal(algorithm: Algorithm, spec: Any, layouts: Any, device: Any) -> str | None:
    """Why an algorithm cannot compute a problem, by what it takes and by what it says."""
    for each in fields(spec):
        default = () if each.default is MISSING else (each.default,)
        if each.name not in GEOMETRY and getattr(spec, each.name) not in algorithm.takes.get(
            each.name, default
        ):
            return f"it does not take {each.name} {getattr(spec, each.name)!r}"
    return algorithm.unsupported(spec, layouts, device)


def select(
    algorithms: Sequence[Algorithm], spec: Any, layouts: Any, device: Any, name: str | None = None
) -> Algorithm:
    """The first algorithm that is supported and worthwhile, else the first supported; or the one named."""
    fallback, reasons = None, []
    for algorithm in algorithms:
        if name in (None, algorithm.name):
            reason = refusal(algorithm, spec, layouts, device)
            if reason is None and (name or algorithm.worth(spec, layouts, device)):
                return algorithm
            fallback = fallback or (algorithm if reason is None else None)
            reasons.append(f"{algorithm.name}: {reason}")
    if fallback is None:
        raise ValueError(f"no algorithm can run this problem: {'; '.join(reasons)}")
    return fallback
