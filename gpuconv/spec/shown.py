"""How an error repeats what the user wrote: the value, but no more of it than can be read.

"saem"           'saem'
"a" * 10_000     'aaaaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
[1] * 10_000     [1, 1, 1, 1, 1, 1, ...]
10**5000         <int>: Python writes no integer of so many digits
on a GPU         <ndarray>: to write its elements, they would be waited for and copied
"""

import difflib
import reprlib
from collections.abc import Collection
from typing import Any

import numpy as np

MOST = 64  # characters of one value, and of each end of several


class _Shortened(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = MOST

    def repr_instance(self, value: Any, level: int) -> str:
        """Of what is no plain value: an array of another library than NumPy is not looked into."""
        is_array = hasattr(type(value), "__dlpack__") or hasattr(value, "__cuda_array_interface__")
        if is_array and not isinstance(value, np.ndarray | np.generic):
            return f"<{type(value).__name__}>"
        return " ".join(super().repr_instance(value, level).split())  # in one line


_SHORTENED = _Shortened()


def shown(value: Any) -> str:
    """A value as an error repeats it.

    Examples
    --------
    >>> shown((1, "two")), len(shown("a" * 10_000))
    ("(1, 'two')", 64)
    """
    try:
        text = _SHORTENED.repr(value)
    except Exception:  # an integer of thousands of digits, or a value that cannot be written
        return f"<{type(value).__name__}>"
    return text if len(text) <= 2 * MOST else f"{text[:MOST]}...{text[-MOST:]}"


def nearest(name: str, known: Collection[str]) -> str:
    """What may have been meant by a name that is none of those known, as the end of an error; or nothing.

    Examples
    --------
    >>> nearest("Reflct", ["zeros", "reflect"])
    "; did you mean 'reflect'?"
    """
    close = difflib.get_close_matches(name[:MOST].lower(), known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""
