"""Tests of `gpuconv.cuda.pool`."""
