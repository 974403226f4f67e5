"""What the threads of a warp have in common."""

WARP = 32  # threads
ALL_LANES = 0xFFFFFFFF  # the mask of all of them
VECTOR_BYTES = 16  # of the widest access of a thread
