"""The command `python -m profiling.latency`: what a call costs the host (`profiling.bench`)."""

from profiling import interrupts


def main() -> int:
    """What is imported here takes a second, in which Ctrl-C may come too."""
    from profiling.bench.latency import main

    return main()


if __name__ == "__main__":
    interrupts.leave("latency", main)
