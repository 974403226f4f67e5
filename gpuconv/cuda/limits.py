"""What every GPU that is supported has: lanes of a warp, and shared memory of a block."""

LANES = 32
SHARED_BYTES = 48 * 1024  # of a block that does not ask for more
