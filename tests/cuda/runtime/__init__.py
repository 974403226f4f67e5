"""Tests of `gpuconv.cuda.runtime`."""
