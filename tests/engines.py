"""The engines whose lists the tests iterate."""

from importlib import import_module

ENGINES = ("cpu", "cuda")


def lists(engine: str) -> dict[str, tuple]:
    """The algorithms of an engine, by operator."""
    return import_module(f"gpuconv.{engine}").ALGORITHMS
