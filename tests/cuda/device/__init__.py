"""Tests of `gpuconv.cuda.device`."""
