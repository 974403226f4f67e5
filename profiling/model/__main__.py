"""`python -m profiling.model`."""

import sys

from profiling import needs

if __name__ == "__main__":
    needs.counting("model")
    from profiling.model.command import main

    sys.exit(main())
