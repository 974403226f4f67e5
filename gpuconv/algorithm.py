"""An algorithm, and the one place where the algorithm for a problem is chosen."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

GEOMETRY = frozenset("N C H W K R S P Q pads stride dilation groups ceil_mode _hash".split())


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
    plan: Callable[[Any, Any, Any], Any]
    fast_for: str

    def refusal(self, spec: Any, layouts: Any, device: Any) -> str | None:
        """Why it cannot compute a problem."""
        for each in fields(spec):
            default = () if each.default is MISSING else (each.default,)
            if each.name not in GEOMETRY and getattr(spec, each.name) not in self.takes.get(
                each.name, default
            ):
                return f"it does not take {each.name} {getattr(spec, each.name)!r}"
        return self.unsupported(spec, layouts, device)


def select(
    algorithms: Sequence[Algorithm], spec: Any, layouts: Any, device: Any, name: str | None = None
) -> Algorithm:
    """The first algorithm that is supported and worthwhile, else the first supported; or the one named."""
    fallback, reasons = None, []
    for algorithm in algorithms:
        if name in (None, algorithm.name):
            reason = algorithm.refusal(spec, layouts, device)
            if reason is None and (name or algorithm.worth(spec, layouts, device)):
                return algorithm
            fallback = fallback or (algorithm if reason is None else None)
            reasons.append(f"{algorithm.name}: {reason}")
    if fallback is None:
        raise ValueError(f"no algorithm can run this problem: {'; '.join(reasons)}")
    return fallback
