"""The folder of a call's launches: carried out, checked, and written file by file."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpuconv.cuda.runtime.compiler import COMPILERS
from gpuconv.cuda.runtime.gpu import Gpu
from gpuconv.cuda.runtime.launch import Launch
from gpuconv.spec import Spec
from profiling import results
from profiling.counts import launches, selected
from profiling.counts.captured import SCRATCH, Captured, Operand
from profiling.counts.execution import carry_out, executable, poisoned
from profiling.workloads import describe, label, operands, public_call
from tests.ptx.syntax import DTYPES

EXPECTED_BY = ("executor", "cpu")
RESULT = "y"
WRONG = 1e-4  # of the greatest result: none that differs so much from the CPU engine's is exported
TOLERANCE = {"executor": 0.0, "cpu": 2e-5}  # of the greatest result
Arrays = dict[str, np.ndarray]
Description = dict[str, Any]


def export(
    out: Path, spec: Spec, algorithm: str | None, gpu: Gpu, arch: str, expected_by: str = EXPECTED_BY[0]
) -> str:
    """Write the launches of a problem into a new folder, and say what they are.

    Raises
    ------
    ValueError
        If the algorithm cannot run the problem, or there is nothing to compute.
    FileExistsError
        If there is something in the folder.
    RuntimeError
        If the kernels compute something else than the CPU engine.
    """
    chosen = selected(spec, gpu, algorithm)
    if 0 in spec.out_shape:
        raise ValueError("the result is empty: nothing is launched")
    captured = launches(spec, chosen, gpu)
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty")
    memory = _memory(spec, captured)
    arrays = [_array(out, each, memory) for each in _operands(captured)]
    by_cpu = np.asarray(public_call(spec, operands(spec))())
    described = []
    for number, each in enumerate(captured):
        expected = _executed(each, memory, arch) if expected_by == "executor" else {}
        if expected_by == "cpu" and number == len(captured) - 1:
            expected = {RESULT: by_cpu}
        described.append(_launch(out, number, each, arch, expected))
    difference = _difference(memory[RESULT], by_cpu) if expected_by == "executor" else None
    head = {
        "problem": label(spec), "spec": describe(spec), "algorithm": chosen.name, "planned_for": gpu.name,
        "arch": arch, "expected_by": expected_by, "cpu_difference": difference,
        "tolerance": TOLERANCE[expected_by], "date": results.today(), "commit": results.commit(),
        "packages": results.versions(*COMPILERS), "arrays": arrays, "launches": described,
        "sha256": _hashes(out),
    }  # fmt: skip
    (out / "launch.json").write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")
    return f"{label(spec)} by {chosen.name}, {', '.join(each['kernel'] for each in described)}"


def _hashes(folder: Path) -> dict[str, str]:
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in sorted(folder.iterdir())}


def _operands(captured: Sequence[Captured]) -> list[Operand]:
    """Each array of the launches once."""
    found = {operand.name: operand for each in captured for operand in each.operands if operand}
    return [operand for operand in found.values() if operand.nbytes]


def _memory(spec: Spec, captured: Sequence[Captured]) -> Arrays:
    """All arrays as the first launch finds them."""
    memory = dict(zip(("x", "w"), operands(spec), strict=False))
    for array in memory.values():
        array.flags.writeable = False
    for operand in _operands(captured):
        if operand.name not in memory:
            memory[operand.name] = poisoned(operand.shape, operand.dtype)
    return memory


def _executed(each: Captured, memory: Arrays, arch: str) -> Arrays:
    """The arrays that a launch changes, after it."""
    before = {name: array.tobytes() for name, array in memory.items() if array.flags.writeable}
    carry_out(each, memory, arch)
    return {name: memory[name] for name, found in before.items() if memory[name].tobytes() != found}


def _difference(found: np.ndarray, by_cpu: np.ndarray) -> float:
    """Over the greatest result of the CPU engine; RuntimeError if they are not the same but for rounding."""
    difference = float(np.abs(found - by_cpu).max() / (np.abs(by_cpu).max() or 1.0))
    if not difference <= WRONG:
        raise RuntimeError(f"the kernels' result differs by {difference:.3g} from the CPU engine's")
    return difference


def _array(out: Path, operand: Operand, memory: Arrays) -> Description:
    file = f"{operand.name}.npy" if operand.is_input else None
    if file:
        np.save(out / file, memory[operand.name])
    role = "input" if operand.is_input else "scratch" if operand.name == SCRATCH else "output"
    return {
        "name": operand.name, "role": role, "dtype": str(operand.dtype), "shape": [*operand.shape],
        "bytes": operand.nbytes, "file": file,
    }  # fmt: skip


def _launch(out: Path, number: int, each: Captured, arch: str, expected: Arrays) -> Description:
    """Write the program, the arguments and what is expected of one launch, and describe them."""
    launch, files = each.launch, (f"{number}.ptx", f"{number}.arguments")
    (out / files[0]).write_text(launch.kernel.ptx(arch), encoding="utf-8")
    parameters, packed = _packed(launch, each.operands, arch)
    (out / files[1]).write_bytes(packed)
    for name, array in expected.items():
        np.save(out / f"{number}.{name}.npy", array)
    return {
        "kernel": launch.kernel.name, "ptx": files[0], "entry": executable(launch.kernel, arch).name,
        "grid": [launch.blocks, 1, 1], "block": [launch.kernel.threads, 1, 1],
        "shared_bytes": launch.shared_bytes, "arguments": files[1], "argument_bytes": len(packed),
        "parameters": parameters,
        "expected": [{"array": name, "file": f"{number}.{name}.npy"} for name in expected],
    }  # fmt: skip


def _packed(launch: Launch, operands: Sequence[Operand | None], arch: str) -> tuple[list[Description], bytes]:
    """Each parameter described, and all of them in one buffer, where each lies on a multiple of its size."""
    entry = executable(launch.kernel, arch).program.entry
    arrays = [operand if operand and operand.nbytes else None for operand in operands]
    described: list[Description] = []
    packed = b""
    values = [*arrays, *launch.values]
    for parameter, name, value in zip(entry.parameters, launch.kernel.parameters, values, strict=True):
        packed += bytes(-len(packed) % parameter.alignment)
        where = {"name": name, "type": parameter.type, "offset": len(packed), "bytes": parameter.size}
        if len(described) < len(arrays):
            begins = {} if value is None else {"begin": value.begin}
            described.append({**where, "array": value and value.name, **begins})
            packed += bytes(parameter.size)
        else:
            described.append({**where, "value": value})
            packed += np.asarray(value).astype(DTYPES[parameter.type]).tobytes()
    return described, packed
