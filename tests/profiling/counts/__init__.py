"""Tests of `profiling.counts`."""
