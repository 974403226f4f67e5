"""The CUDA engine: what can be shown without a GPU, and what runs where there is one."""
