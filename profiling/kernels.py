"""The command `python -m profiling.kernels`: what every CUDA kernel costs (`profiling.counts`)."""

from profiling import interrupts, needs


def main() -> int:
    """What is imported here takes a second, in which Ctrl-C may come too."""
    needs.counting("kernels")
    from profiling.counts.kernels import main

    return main()


if __name__ == "__main__":
    interrupts.leave("kernels", main)
