"""Tests of `profiling.results`."""
