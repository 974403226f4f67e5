"""How users write what an error proposes: as NumPy's write it, which is the pattern for other libraries.

An array that is checked may say how those of its library do, by `idioms`; NumPy's own need not.
"""

from dataclasses import dataclass
from typing import Any


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


NUMPY = Idioms()


def idioms_of(array: Any) -> Idioms:
    return getattr(array, "idioms", NUMPY)
