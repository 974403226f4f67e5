"""Tests of `gpuconv.cpu.pool`."""
