"""What kernels need to run: compiled machine code, launches, and what is known of a GPU."""
