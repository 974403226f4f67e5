"""Tests of `profiling.bench`."""
