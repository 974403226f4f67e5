"""Tests of `profiling.model`."""
