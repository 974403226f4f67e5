"""What makes a program of its own out of this package and others: PyInstaller asks here for its hook."""

from pathlib import Path


def hook_folders() -> list[str]:
    """Where `hook-gpuconv.py` lies."""
    return [str(Path(__file__).parent)]
