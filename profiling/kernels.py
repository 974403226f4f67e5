"""The command `python -m profiling.kernels`: what every CUDA kernel costs (`profiling.counts`)."""

import sys

from profiling import needs

if __name__ == "__main__":
    needs.counting("kernels")
    from profiling.counts.kernels import main

    sys.exit(main())
