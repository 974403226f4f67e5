"""The command `python -m profiling.memory`: the most memory of a call, beside its arrays and its result.

Each problem is computed in a child of its own, which has made its arrays and called once, so that kernels are
loaded; then workspaces are dropped, the allocator gives back what it holds (mapping what has 1 MiB or more),
and the kernel's mark of the most that was resident (VmHWM of /proc/self/status, set back through clear_refs)
is read behind a second call. What PyTorch takes for the same is measured likewise. Linux and glibc alone.
"""

import argparse
import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpuconv
from gpuconv.spec import INPUT_GRADIENT, WEIGHT_GRADIENT, ConvSpec
from gpuconv.spec.dtypes import COMPLEX64, FLOAT16, FLOAT64, INT8
from profiling.bench.peers import torch_call, use_threads
from profiling.results import environment, files
from profiling.workloads import drawn, operands_of, public_call
from profiling.workloads.layers import Layer, operator

ALLOWED = 64 << 20  # bytes beside the arrays
M_MMAP_THRESHOLD, MAPPED = -3, 1 << 20
SECONDS = 60  # of a child
KINDS: tuple[dict[str, Any], ...] = (  # of what is drawn, one after the other
    {}, {"dtype": FLOAT16}, {"direction": INPUT_GRADIENT}, {"dtype": COMPLEX64},
    {"direction": WEIGHT_GRADIENT}, {"dtype": INT8}, {"dtype": FLOAT64},
)  # fmt: skip


def problems(count: int, seed: int, all_kinds: bool) -> Iterator[Layer]:
    """The random problems of the benchmark, as they are, or of all dtypes and directions in turn."""
    for number, layer in enumerate(drawn(count, seed).layers):
        kind = KINDS[number % len(KINDS)] if all_kinds and isinstance(layer.spec, ConvSpec) else {}
        pads = getattr(layer.spec, "pads", ())
        if kind.get("direction") == INPUT_GRADIENT and any(first < last for first, last in pads):
            kind = {}
        yield replace(layer, spec=replace(layer.spec, **kind))


def status(name: str) -> int:
    """Bytes of a line of /proc/self/status, VmRSS or VmHWM."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise KeyError(name)


def beside(call: Callable[[], Any]) -> tuple[int, int]:
    """(bytes beside the arrays and the result that the call takes at most, bytes of the result)."""
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, MAPPED)
    call()
    gpuconv.set_workspace_limit(0)
    gpuconv.set_workspace_limit(ALLOWED)
    gc.collect()
    libc.malloc_trim(0)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    result = call()
    peak = status("VmHWM")
    results = result if isinstance(result, tuple) else (result,)
    size = sum(each.nbytes for each in results)
    return peak - before - size, size


def in_child(measure: Callable[[], Any]) -> Any:
    """What `measure` returns in a child of this process, or None where it takes too long or fails."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        try:
            os.write(write, json.dumps(measure()).encode())
            os._exit(0)
        except BaseException as error:  # said by what is missing
            print(f"{error!r}", file=sys.stderr)
            os._exit(1)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said) if said else None


def by_gpuconv(layer: Layer) -> tuple[int, int]:
    return beside(public_call(layer.spec, operands_of(layer)))


def by_torch(layer: Layer) -> tuple[int, int] | None:
    call = torch_call(layer.spec, operands_of(layer))
    return None if call is None else beside(call)


def row_of(layer: Layer, with_torch: bool) -> files.Row:
    """One problem, in bytes."""
    ours = in_child(lambda: by_gpuconv(layer))
    torchs = in_child(lambda: by_torch(layer)) if with_torch else None
    call = public_call(layer.spec, operands_of(layer))
    chosen = gpuconv.explain(call.func, *call.args, **call.keywords)[0][0]
    return {
        "layer": layer.label, "op": operator(layer.spec), "dtype": str(layer.spec.dtype), "algorithm": chosen,
        "beside": ours and ours[0], "result": ours and ours[1], "torch_beside": torchs and torchs[0],
    }  # fmt: skip


def summary_of(rows: list[files.Row]) -> files.Row:
    """The worst, and how many take more than is allowed."""
    sizes = [row["beside"] for row in rows if row["beside"] is not None]
    peers = [row["torch_beside"] for row in rows if row["torch_beside"] is not None]
    return {
        "measured": len(sizes), "most": max(sizes, default=None),
        "above": sum(size > ALLOWED for size in sizes),
        "torch_measured": len(peers), "torch_most": max(peers, default=None),
        "torch_above": sum(size > ALLOWED for size in peers),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m profiling.memory", description=__doc__)
    parser.add_argument("--random", type=int, default=100, metavar="COUNT", help="problems, %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the problems, %(default)s")
    parser.add_argument(
        "--kinds", action="store_true", help="convolutions of all dtypes and directions in turn"
    )
    parser.add_argument("--torch", action="store_true", help="PyTorch's beside it")
    parser.add_argument("--threads", type=int, default=1, help="of a call, %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the result goes, as JSON")
    options = parser.parse_args(arguments)
    gpuconv.set_num_threads(options.threads)
    if options.torch:
        use_threads(options.threads)  # which imports it, once for all children
    rows = []
    for layer in problems(options.random, options.seed, options.kinds):
        rows.append(row_of(layer, options.torch))
        told = {name: value for name, value in rows[-1].items() if name != "layer"}
        if rows[-1]["beside"] is None or rows[-1]["beside"] > ALLOWED:
            print(layer.label, told, flush=True)
    summary = summary_of(rows)
    print(summary)
    if options.out:
        head = {
            "date": environment.today(), "commit": environment.commit(), "packages": environment.packages(),
            "seed": options.seed, "threads": options.threads, "allowed": ALLOWED, "summary": summary,
        }  # fmt: skip
        files.write(options.out, head, rows=rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
