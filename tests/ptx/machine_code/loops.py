"""The main loop of a program, found in its control flow, whether it is PTX or machine code.

A loop is what repeats: a jump back to an instruction that every path to the jump has passed, and all that
leads from there to the jump (a natural loop; Aho, Lam, Sethi, Ullman, "Compilers", section 9.6). An
instruction belongs to the innermost loop around it, so a loop that waits for a barrier does not count as
part of the loop that it stands in.

The main loop is the one that owns the most matrix instructions; where there are none, the one that owns the
most arithmetic among those that have no computing loop within them. The first in the program wins a tie.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..report import class_of
from ..syntax import Instruction


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction as control flow sees it.

    Attributes
    ----------
    targets : tuple of int
        Indices of the instructions that it may jump to.
    continues : bool
        Whether the next instruction may follow.
    kind : str
        "matrix", "math" or anything else.
    """

    targets: tuple[int, ...]
    continues: bool
    kind: str


def step_of(instruction: Instruction) -> Step:
    """An instruction of PTX; comparisons of floating-point numbers are arithmetic, as in machine code."""
    opcode = instruction.parts[0]
    ends = opcode in ("bra", "brx", "ret", "exit", "trap") and instruction.guard is None
    kind = class_of(instruction)
    if kind == "compare" and instruction.parts[-1].startswith(("f", "bf")):
        kind = "math"
    return Step(instruction.targets, not ends, kind)


def ptx_main_loop(instructions: Sequence[Instruction]) -> list[Instruction]:
    """The instructions of PTX that the main loop owns, in order; none if no loop computes."""
    return [instructions[index] for index in main_loop([step_of(each) for each in instructions])]


def main_loop(steps: Sequence[Step]) -> list[int]:
    """Indices of the instructions that the main loop owns, in order; empty if no loop computes.

    Examples
    --------
    >>> load, fma = Step((), True, "shared"), Step((), True, "math")
    >>> back, end = Step((1,), True, "control"), Step((), False, "control")
    >>> main_loop([load, load, fma, back, end])
    [1, 2, 3]
    """
    loops = sorted(natural_loops(steps).items(), key=lambda item: (len(item[1]), item[0]))
    owner: dict[int, int] = {}
    for header, body in loops:  # the smallest first: of two loops that overlap one holds the other
        for index in body:
            owner.setdefault(index, header)
    owned = {header: sorted(index for index in body if owner[index] == header) for header, body in loops}

    def count(header: int, kind: str) -> int:
        return sum(steps[index].kind == kind for index in owned[header])

    def weight(header: int) -> tuple[int, int, int]:
        return count(header, "matrix"), count(header, "math"), -header

    computing = {header for header in owned if any(weight(header)[:2])}
    innermost = [
        header
        for header, body in loops
        if count(header, "matrix") or computing & body == {header}  # no other loop in it computes
    ]
    return owned[max(innermost, key=weight)] if innermost else []


def natural_loops(steps: Sequence[Step]) -> dict[int, set[int]]:
    """The instructions of each loop, by the index of its first; loops that begin alike are one."""
    following = [_following(index, step, len(steps)) for index, step in enumerate(steps)]
    preceding: list[list[int]] = [[] for _ in steps]
    for index, indices in enumerate(following):
        for other in indices:
            preceding[other].append(index)
    dominators = _dominators(following, preceding)
    loops: dict[int, set[int]] = {}
    for index, indices in enumerate(following):
        for header in indices:
            if dominators[index] is not None and dominators[index] >> header & 1:
                loops.setdefault(header, {header}).update(_body(header, index, preceding))
    return loops


def _following(index: int, step: Step, count: int) -> list[int]:
    indices = [*step.targets, *([index + 1] if step.continues else [])]
    return [other for other in dict.fromkeys(indices) if other < count]


def _dominators(following: list[list[int]], preceding: list[list[int]]) -> list[int | None]:
    """For each instruction the set, as bits, of those on every path to it; None where no path leads."""
    order = _depth_first(following)
    found: list[int | None] = [None] * len(following)
    changed = True
    while changed:
        changed = False
        for index in order:
            known = [found[other] for other in preceding[index] if found[other] is not None]
            common = known[0] if known and index != 0 else 0
            for bits in known[1:] if index != 0 else ():
                common &= bits
            common |= 1 << index
            if common != found[index]:
                found[index], changed = common, True
    return found


def _depth_first(following: list[list[int]]) -> list[int]:
    """What can be reached from the first instruction, each after those that lead to it, loops aside."""
    finished: list[int] = []
    seen = {0}
    stack = [(0, iter(following[0]))] if following else []
    while stack:
        index, rest = stack[-1]
        for other in rest:
            if other not in seen:
                seen.add(other)
                stack.append((other, iter(following[other])))
                break
        else:
            finished.append(index)
            stack.pop()
    return finished[::-1]


def _body(header: int, last: int, preceding: list[list[int]]) -> set[int]:
    """The instructions from which `last` is reached without passing `header`."""
    body, work = {header}, [last]
    while work:
        index = work.pop()
        if index not in body:
            body.add(index)
            work += preceding[index]
    return body
