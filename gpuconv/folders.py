"""Folders for compiled code, as users name them: none moves with the working directory.

A relative one is meant from where the program was when it imported gpuconv; it may have gone elsewhere when
its first call comes, and that folder may have been deleted.
"""

import os
from pathlib import Path


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


_START = _working_directory()


def named_folder(name: str) -> Path | None:
    """The folder that a variable names, or None for a relative one where the program began in no folder."""
    if os.path.isabs(name):
        return Path(os.path.normpath(name))
    return None if _START is None else Path(os.path.normpath(os.path.join(_START, name)))


def users_cache() -> Path | None:
    """The folder for caches of the user, if there is one: a container's user may have no home."""
    named = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        return Path(named)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ".cache" if home.is_absolute() else None
