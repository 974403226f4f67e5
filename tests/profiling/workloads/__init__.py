"""Tests of `profiling.workloads`."""
