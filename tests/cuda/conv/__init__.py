"""Tests of `gpuconv.cuda.conv`."""
