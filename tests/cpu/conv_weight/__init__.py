"""Tests of `gpuconv.cpu.conv`."""
