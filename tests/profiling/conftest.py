"""Kernels are compiled once in a test run here too."""

from tests.cuda.conftest import compiled_once

__all__ = ["compiled_once"]
