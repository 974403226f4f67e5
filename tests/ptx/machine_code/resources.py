"""What the linker says that a kernel takes."""

import re

_MEMORY = re.compile(
    r"(?P<local>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads"
)


def resources(log: str) -> dict[str, int]:
    """Registers of a thread, bytes spilled and on the stack, and static shared bytes, from the linker's log.

    Raises
    ------
    ValueError
        If the log does not tell.
    """
    memory = _MEMORY.search(log)
    registers = re.search(r"Used (\d+) registers", log)
    if memory is None or registers is None:
        raise ValueError(f"the linker's log does not name registers and spills: {log!r}")
    shared = re.search(r"(\d+) bytes smem", log)
    return {
        "registers": int(registers[1]),
        "spill_bytes": int(memory["stores"]) + int(memory["loads"]),
        "local_bytes": int(memory["local"]),
        "static_shared_bytes": int(shared[1]) if shared else 0,
    }
