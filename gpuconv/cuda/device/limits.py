"""What every supported GPU has: lanes and schedulers, the widest access, the shared memory of a block."""

LANES = 32
ALL_LANES = 0xFFFFFFFF  # the mask of all of them
SCHEDULERS = 4  # of a multiprocessor
VECTOR_BYTES = 16  # of the widest access of a lane
BANKS_BYTES = 128  # of shared memory in one access: 32 banks of 4 bytes
SHARED_BYTES = 48 * 1024  # of a block that does not ask for more
