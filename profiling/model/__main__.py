"""`python -m profiling.model`."""

from profiling import interrupts, needs


def main() -> int:
    """What is imported here takes a second, in which Ctrl-C may come too."""
    needs.counting("model")
    from profiling.model.command import main

    return main()


if __name__ == "__main__":
    interrupts.leave("model", main)
