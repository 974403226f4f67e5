"""`python -m profiling.export`."""

from profiling import interrupts, needs


def main() -> int:
    """What is imported here takes a second, in which Ctrl-C may come too."""
    needs.executing("export")
    from profiling.export.command import main

    return main()


if __name__ == "__main__":
    interrupts.leave("export", main)
