"""The command `python -m profiling.latency`: what a call costs the host (`profiling.bench`)."""

import sys

from profiling.bench.latency import main

if __name__ == "__main__":
    sys.exit(main())
