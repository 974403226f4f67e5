"""`python -m profiling.model`."""

import sys

from profiling.model.command import main

if __name__ == "__main__":
    sys.exit(main())
