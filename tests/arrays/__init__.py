"""Tests of `gpuconv.arrays`."""
