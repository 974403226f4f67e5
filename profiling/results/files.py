"""A file of results: what they depend on, then lists of rows, one row a line."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def write(path: Path, head: Row, **lists: Sequence[Row]) -> None:
    """`head` and the lists as one JSON object, so laid out that two runs can be compared by eye."""
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, rows in lists.items():
        lines = ",\n".join(map(json.dumps, rows))
        parts.append(f'"{key}": [\n{lines}\n]')
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    unfinished.replace(path)  # so that a run that is stopped leaves a whole file


def significant(value: float | None, digits: int = 4) -> float | None:
    """Rounded to some significant digits; what is not finite has no place in JSON and becomes None."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")
