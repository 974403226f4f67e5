"""`python -m profiling.bench`."""

import sys

from profiling.bench.command import main
from profiling.results import restart_with_fair_allocator

if __name__ == "__main__":
    restart_with_fair_allocator()
    sys.exit(main())
