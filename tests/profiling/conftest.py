"""What the tests of `profiling` share."""

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def compiled_once(kernels_compiled_once):
    """The engine's kernels are compiled once here too."""


@pytest.fixture
def interruptible():
    """A job in the background of a shell ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
