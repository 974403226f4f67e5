"""Tests of `gpuconv.spec`."""
