"""What the kernels of the CPU engine are compiled with, work in and share."""
