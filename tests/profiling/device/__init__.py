"""Tests of `profiling.device`."""
