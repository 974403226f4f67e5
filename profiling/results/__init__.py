"""The results that are kept, and how they are written: JSON files, tables, and what they depend on.

`README.md` says what the files hold.
"""

from pathlib import Path

from profiling.results.environment import (
    commit,
    packages,
    restart_with_fair_allocator,
    settings,
    today,
    versions,
)
from profiling.results.files import Row, significant, write
from profiling.results.tables import Table, show, show_plain

FOLDER = Path(__file__).parent

__all__ = [
    "FOLDER", "Row", "Table", "commit", "packages", "restart_with_fair_allocator", "settings",
    "show", "show_plain", "significant", "today", "versions", "write",
]  # fmt: skip
