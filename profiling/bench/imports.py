"""What `import gpuconv` costs in a fresh process, beside other modules."""

import subprocess
import sys

from profiling.bench.rows import SPEEDS, against
from profiling.device import Timing
from profiling.results import Row, significant
from profiling.results.environment import ROOT


def import_times(modules: tuple[str, ...], repeats: int) -> list[Timing]:
    """The time of importing each module in a fresh Python, the modules taking turns."""
    times: list[list[float]] = [[] for _ in modules]
    for turn in range(repeats + 1):
        for module, series in zip(modules, times, strict=True):
            milliseconds = _import_once(module)
            if turn > 0:  # the first fills the disk cache and writes bytecode
                series.append(milliseconds)
    return [Timing.of(series) for series in times]


def _import_once(module: str) -> float:
    program = (
        "import time; begin = time.perf_counter()\n"
        f"import {module}\n"
        "print(1e3 * (time.perf_counter() - begin))"
    )
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def measure(modules: tuple[str, ...], repeats: int) -> list[Row]:
    """Rows: the import of the first module beside that of each other one."""
    timings = import_times(modules, repeats)
    ours = dict.fromkeys(("spec", "dtype", "precision", "threads", *SPEEDS, "max_error", "norm_error"))
    ours |= {"workload": "import", "layer": f"import {modules[0]}", "multiplicity": 1, "op": "import"}
    ours |= {"algorithm": modules[0], "selected": True, "ieee": True}
    ours |= {"ms": significant(timings[0].median), "fastest_ms": significant(timings[0].fastest)}
    peers = zip(modules[1:], timings[1:], strict=True)
    return [ours | against(module, timing, None) for module, timing in peers]
