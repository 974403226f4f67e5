"""What a command prints: failures of stdout, a closed pipe or a full disk, are told from others."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


def say(text: str) -> None:
    """Print on stderr; where that cannot be written there is nobody to tell."""
    try:
        print(text, file=sys.stderr)
    except OSError:
        _drop_the_rest(sys.stderr)


class OutputError(Exception):
    """What is printed cannot be written, as `error` says."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.error = error


class Output:
    """A text stream that raises OutputError where the one below it raises OSError."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _told_apart():
            return self._stream.write(text)

    def flush(self) -> None:
        with _told_apart():
            self._stream.flush()


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(error) from error


@contextlib.contextmanager
def watched_stdout() -> Iterator[None]:
    """All that is printed within the block has been written at its end, or OutputError says why not."""
    stream = sys.stdout
    if stream is None:  # it was closed before Python began
        yield
        return
    sys.stdout = Output(stream)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OutputError:
        _drop_the_rest(stream)
        raise
    finally:
        sys.stdout = stream


def _drop_the_rest(stream: Any) -> None:
    """What is left in the stream goes nowhere, or the interpreter would fail to write it at its end."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
