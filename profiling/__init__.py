"""Benchmarks: the workloads, the measurement beside other libraries, and the results kept in `results/`."""
