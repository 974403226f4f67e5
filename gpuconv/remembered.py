"""Answers remembered by the arguments as the user wrote them: a program makes the same call again and again.

To check a call and to choose its algorithm takes longer than many a small kernel, and says the same for the
same shapes and parameters. Equal is not the same here, where 1 == 1.0 == True: only plain parameters, of
which type and value tell all, are looked up.
"""

import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")

CALLS = 1024  # that are remembered, for each function
_PLAIN = frozenset({int, str, bool, type(None)})


class remembered(Generic[Answer]):
    """Decorate `function(key, *parameters)`: an answer is kept for an equal key and the same parameters.

    Errors are not kept.
    """

    def __init__(self, function: Callable[..., Answer]) -> None:
        self._function = function
        self._known: Any = functools.lru_cache(maxsize=CALLS, typed=True)(function)

    def __call__(self, key: Any, *parameters: Any) -> Answer:
        for parameter in parameters:
            if type(parameter) not in _PLAIN and not _is_plain_tuple(parameter):
                return self._function(key, *parameters)
        return self._known(key, *parameters)

    def forget(self) -> None:
        """Drop all answers."""
        self._known.cache_clear()


def _is_plain_tuple(parameter: Any) -> bool:
    """A tuple of integers, or of tuples of integers."""
    return type(parameter) is tuple and all(
        type(element) is int or _is_plain_tuple(element) for element in parameter
    )
