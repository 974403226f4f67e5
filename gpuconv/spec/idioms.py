"""How users write what an error proposes: as NumPy's write it, which is the pattern for other libraries.

An array that is checked may say how those of its library do, by `idioms`; NumPy's own need not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Idioms:
    """Expressions of a library.

    Attributes
    ----------
    module : str
        What has the functions and dtypes, as users import it.
    array : str
        What has the methods, of an argument called `{}`.
    """

    module: str = "np"
    array: str = "{}"

    PAD_MODES: ClassVar[Mapping[str, str]] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}

    @property
    def float32(self) -> str:
        return f"{self.module}.float32"

    @property
    def int32(self) -> str:
        return f"{self.module}.int32"

    def cast(self, name: str, dtype: str) -> str:
        return f"{self.array.format(name)}.astype({dtype})"

    def reordered(self, name: str, axes: tuple[int, ...]) -> str:
        return f"{self.array.format(name)}.transpose{axes}"

    def padded(self, name: str, mode: str) -> str:
        array = self.array.format(name)
        widths = f"[(0, 0)] * ({array}.ndim - 2) + [(top, bottom), (left, right)]"
        return f"{self.module}.pad({array}, {widths}, mode={mode})"

    def activated(self, name: str) -> str:
        return f"{self.module}.maximum({name}, 0, out={name})"

    def padded_as(self, name: str, padding_mode: Any) -> str:
        """Padded in a mode that PyTorch calls so, or in one that there is."""
        mode = self.PAD_MODES.get(padding_mode) if isinstance(padding_mode, str) else None
        return self.padded(
            name, repr(mode) if mode else f"one of {', '.join(map(repr, self.PAD_MODES.values()))}"
        )


NUMPY = Idioms()


def idioms_of(array: Any) -> Idioms:
    return getattr(array, "idioms", NUMPY)
