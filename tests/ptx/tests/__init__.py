"""The executor's own tests: hand-written PTX, kernels of Numba, and faults planted in them."""
