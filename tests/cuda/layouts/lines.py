"""Which lines of each kernel's PTX have been executed."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cuda import execution

Lines = dict[str, set[int]]  # by the names of kernels


@contextmanager
def recorded() -> Iterator[Lines]:
    """The lines that threads execute from now on."""
    found: Lines = defaultdict(set)
    original = execution.execute

    def execute(launch, *arrays, **options):
        report = original(launch, *arrays, **options)
        found[launch.kernel.name] |= report.executed
        return report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "execute", execute)
        yield found
