"""What the tests of `profiling` share."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def compiled_once(kernels_compiled_once):
    """The engine's kernels are compiled once here too."""
