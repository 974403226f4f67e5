"""Masked arrays of every library, and what is right in the place of masked elements.

Nothing here computes with a mask. What an operator's users have to put where there is no value is known to
the operator (`Fill`): what adds nothing to a sum, what no maximum is. Of means no value is neutral.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from gpuconv.arrays.hints import named_as, shown


class Fill(NamedTuple):
    """What is right in the place of a masked element.

    Attributes
    ----------
    value : str
        0, -1, inf or -inf: of integers the greatest and the least.
    but, of : str
        Another value, and the parameters that it is right for.
    mean : str
        The function whose results are means: of what is filled, over that of where there is a value.
    """

    value: str = "0"
    but: str = ""
    of: str = ""
    mean: str = ""


ZERO, LEAST, GREATEST, NOWHERE = Fill(), Fill("-inf"), Fill("inf"), Fill("-1")
Fills = tuple[tuple[str, Fill], ...]  # by argument; of one that is not there it is zero


class Masked(NamedTuple):
    """How users of a kind write: filled values, where there are values, what is beneath the mask, a cast."""

    module: str
    filled: str
    valid: str
    values: str
    cast: str = "({}).astype({name}.dtype)"


MASKED = {
    ("numpy", "MaskedArray"): Masked(
        "numpy", "{name}.filled({value})", "~numpy.ma.getmaskarray({name})", "{name}.data"
    ),
    ("astropy", "MaskedQuantity"): Masked(
        "numpy", "{name}.filled({value}).value", "~{name}.mask", "{name}.unmasked.value"
    ),
    ("astropy", "Masked"): Masked("numpy", "{name}.filled({value})", "~{name}.mask", "{name}.unmasked"),
    ("torch", "MaskedTensor"): Masked(
        "torch", "{name}.to_tensor({value})", "{name}.get_mask()", "{name}.get_data()", "{}.to({name}.dtype)"
    ),
}


@lru_cache(maxsize=64)
def masked_kind(kind: type) -> Masked | None:
    """How masked arrays of a type are written about; None if they are not masked."""
    return next((MASKED[each] for each in map(named_as, kind.__mro__) if each in MASKED), None)


def refuse_masked(array: Any, name: str, fill: Fill = ZERO) -> None:
    """Raise TypeError if it is a masked array, or a quantity of one."""
    kind: Any = type(array)
    held, expression = array, name
    if kind.__module__.partition(".")[0] == "pint" and hasattr(kind, "magnitude"):
        held, expression = array.magnitude, f"{name}.magnitude"
    held_kind: Any = type(held)
    masked = masked_kind(held_kind)
    if masked is None:
        return
    if name == "out":
        way = f"pass {masked.values.format(name=expression)}, and give the result a mask yourself"
    else:
        way = _way(masked, expression, fill, getattr(held, "dtype", None))
    raise TypeError(f"{name} must not be a masked array; got {shown(kind)}: {way}")


def _way(masked: Masked, name: str, fill: Fill, dtype: Any) -> str:
    """What to pass in the place of the masked array that is called `name`."""

    def filled(value: str) -> str:
        return masked.filled.format(name=name, value=_written(value, masked.module, name, dtype))

    if fill.mean:
        valid = masked.cast.format(masked.valid.format(name=name), name=name)
        return (
            f"no value is right for a mean; that of what is valid is {fill.mean}({filled('0')}, ...) / "
            f"{fill.mean}({valid}, ...)"
        )
    but = f", or for {fill.of} {filled(fill.but)}" if fill.but else ""
    return f"fill it first, {filled(fill.value)}{but}"


def _written(value: str, module: str, name: str, dtype: Any) -> str:
    """The value as an expression; integers have no infinity, and a least and a greatest one."""
    if "inf" not in value:
        return value
    is_integer = not getattr(dtype, "is_floating_point", getattr(dtype, "kind", "f") not in "iu")
    if is_integer:
        return f"{module}.iinfo({name}.dtype).{'min' if value == '-inf' else 'max'}"
    return f"{value.removesuffix('inf')}{module}.inf"
