"""The pools of the CUDA engine."""
