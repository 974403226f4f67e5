"""How many processors a container lets its processes keep busy: the CPU quota of control groups, on Linux.

    version 2   /sys/fs/cgroup/GROUP/cpu.max                             "150000 100000", or "max 100000"
    version 1   /sys/fs/cgroup/cpu,cpuacct/GROUP/cpu.cfs_quota_us        150000, or -1
                                                 cpu.cfs_period_us       100000

A process is bound by its own group and by all that this one lies in. Which is its own /proc/self/cgroup says,
as the host names it or as its container does: of the folders on the way, some need not be there.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
PERIOD = "100000"  # microseconds, where a group does not say it


def processors_allowed(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int | None:
    """The least of all quotas that bind this process, rounded up; None if there is none.

    With a quota of 1.5 processors two threads get all of it, and one thread only two thirds.

    Parameters
    ----------
    groups, membership : Path
        Where the control groups are, and the file that says which of them are this process's.
    """
    quotas = (quota for folder in _folders(groups, membership) for quota in _quotas(folder))
    return min(quotas, default=None)


def _folders(groups: Path, membership: Path) -> Iterator[Path]:
    """Of each group that the process is in, up to the outermost."""
    for controllers, path in _memberships(membership):
        inner = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        for mounted in _mounts(groups, controllers):
            yield from (mounted.joinpath(*inner[:depth]) for depth in range(len(inner), -1, -1))


def _memberships(membership: Path) -> list[tuple[str, str]]:
    """(controllers, path) of each hierarchy that says how much of a processor is used."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text(errors="replace").splitlines()]
    except OSError:  # it may be hidden, and the outermost group there all the same
        return [("", "/"), ("cpu", "/")]
    found = [(fields[1], fields[2]) for fields in lines if len(fields) == 3]
    return [(names, path) for names, path in found if not names or "cpu" in names.split(",")]


def _mounts(groups: Path, controllers: str) -> list[Path]:
    """Where the hierarchy may be mounted: its controllers in any order, or under the name of one."""
    if not controllers:
        return [groups, groups / "unified"]
    try:
        return [folder for folder in groups.iterdir() if "cpu" in folder.name.split(",")]
    except OSError:
        return []


def _quotas(folder: Path) -> Iterator[int]:
    """That of one group, in whichever version's files it is written."""
    yield from _processors(*_words(folder / "cpu.max"))
    yield from _processors(*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us"))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").split()
    except OSError:
        return []


def _processors(quota: str = "max", period: str = PERIOD, *rest: str) -> Iterator[int]:
    """quota / period, rounded up; nothing for "max", -1, and what is no quota."""
    if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
        yield -(-int(quota) // int(period))
