"""`python -m profiling.bench`."""

from profiling import interrupts


def main() -> int:
    """What is imported here takes a second, in which Ctrl-C may come too."""
    from profiling.results import restart_with_fair_allocator

    restart_with_fair_allocator()
    from profiling.bench.command import main

    return main()


if __name__ == "__main__":
    interrupts.leave("bench", main)
