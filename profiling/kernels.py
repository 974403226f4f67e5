"""The command `python -m profiling.kernels`: what every CUDA kernel costs (`profiling.counts`)."""

import sys

from profiling.counts.kernels import main

if __name__ == "__main__":
    sys.exit(main())
