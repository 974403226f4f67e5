"""Every inline-PTX and LLVM-IR intrinsic of the CUDA kernels lives here, and nowhere else."""
