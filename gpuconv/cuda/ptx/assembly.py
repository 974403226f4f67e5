"""What pieces of inline PTX have in common: letters of their constraints, vectors, and what a GPU can do."""

from contextvars import ContextVar

from gpuconv.cuda.language import ConfigStack, types

# Constraints of operands, by the type of an element
LETTERS = {types.float32: "f", types.float64: "d", types.uint32: "r", types.uint16: "h"}
VECTORS = {1: "", 2: ".v2", 4: ".v4"}
AMPERE = (8, 0)  # the first with asynchronous copies, maxima of NaN, and conversions of two numbers at once


def operands(first: int, count: int) -> str:
    """A vector of `count` operands, of which the first has the number `first`."""
    names = ", ".join(f"${first + i}" for i in range(count))
    return f"{{{names}}}" if count > 1 else names


# What `compiling_for` has answered, for whoever wants to know what a kernel depends on
ANSWERS: ContextVar[dict[tuple[int, int], bool]] = ContextVar("ANSWERS")


def compiling_for(capability: tuple[int, int]) -> bool:
    """Whether the architecture that is being compiled for is this one, or a later one."""
    answer = tuple(ConfigStack().top().compute_capability[:2]) >= capability
    if (answers := ANSWERS.get(None)) is not None:
        answers[capability] = answer
    return answer
