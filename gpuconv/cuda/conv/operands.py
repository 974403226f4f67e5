"""The dtypes of the arrays of a convolution, which decide on its kernel."""

from typing import Any, NamedTuple

from gpuconv.cuda.device.elements import OPERANDS
from gpuconv.cuda.language import types
from gpuconv.spec import ConvSpec, Dtype
from gpuconv.spec.dtypes import BYTES


class Operands(NamedTuple):
    """The dtypes of the input, of the weights and of the result; and which of the first two is conjugated."""

    x: Dtype
    w: Dtype
    y: Dtype
    conjugate: str | None = None

    @property
    def bias(self) -> Dtype:
        """The dtype of the bias."""
        return self.y if self.x in BYTES else self.x

    @property
    def pointers(self) -> dict[Any, str]:
        """The names of a kernel's arrays by the types of their pointers."""
        return named_pointers(x=self.x, w=self.w, bias=self.bias, y=self.y)

    @classmethod
    def of(cls, spec: ConvSpec) -> "Operands":
        return cls(spec.dtype, spec.dtype_of_weights, spec.result, spec.conjugate)

    def __str__(self) -> str:
        words: list[str] = [self.x] if self.x == self.w else [self.x, self.w]
        if self.x.is_narrow and self.y == self.x.arithmetic and self.x not in BYTES:
            words.append("unrounded")
        return " ".join([*words, *[f"conjugate {self.conjugate}"] * bool(self.conjugate)])


def named_pointers(**arrays: Dtype) -> dict[Any, str]:
    """The names of arrays by the types of pointers to what is stored of their dtypes."""
    named: dict[Any, str] = {}
    for name, dtype in arrays.items():
        kind = types.CPointer(OPERANDS[dtype].stored)
        named[kind] = f"{named.get(kind, '')} {name}".strip()
    return named
