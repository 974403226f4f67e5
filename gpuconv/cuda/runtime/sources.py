"""The source files that a kernel's machine code depends on: a cubin of other sources is not taken."""

import ast
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]  # the folder of `gpuconv`
ENGINE = ("gpuconv.cuda", "gpuconv.spec.dtypes")  # of other modules no kernel depends on any number
RUNTIME = "gpuconv.cuda.runtime"  # nor of this one, but on how it is compiled; a test looks for such numbers
COMPILER = PACKAGE / "cuda" / "runtime" / "compiler.py"


@functools.cache
def sources_of(function: Callable[..., None]) -> tuple[str, ...]:
    """The texts of the kernel's file, of what it imports to compute with, the intrinsics and the compiler.

    Nothing is imported to find them. There are none where the package has no files: in a frozen program.
    """
    texts: dict[Path, str] = {}
    work = [Path(inspect.getfile(function)).resolve(), COMPILER, *_intrinsics()]
    while work:
        file = work.pop()
        if file not in texts and (read := _read(file)):
            texts[file], imported = read
            work += imported
    return tuple(texts[file] for file in sorted(texts))


@functools.cache
def _intrinsics() -> tuple[Path, ...]:
    return tuple((PACKAGE / "cuda" / "ptx").rglob("*.py"))


@functools.cache
def _read(file: Path) -> tuple[str, tuple[Path, ...]] | None:
    """The text of a file and the files that it imports, or None if there is no such file."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return None
    return text, tuple(_imported(ast.parse(text)))


def _imported(module: ast.Module) -> Iterator[Path]:
    """The files of this engine that a module imports, wherever it does so, and those of their rooms."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *[f"{node.module}.{alias.name}" for alias in node.names]]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if any(f"{name}.".startswith(f"{room}.") for room in ENGINE) and not name.startswith(RUNTIME):
                place = PACKAGE.joinpath(*name.split(".")[1:])
                yield from filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py"))
