"""The source files that a kernel's machine code depends on: a cubin of other sources is not taken."""

import ast
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]  # the folder of `gpuconv`
ENGINE = ("gpuconv.cuda", "gpuconv.spec.dtypes")  # of other modules no kernel depends on any number


@functools.cache
def sources_of(function: Callable[..., None]) -> tuple[str, ...]:
    """The texts of the kernel's file, of all that it imports from this engine, and of the intrinsics."""
    texts: dict[Path, str] = {}
    work = [Path(inspect.getfile(function)).resolve(), *(PACKAGE / "cuda" / "ptx").rglob("*.py")]
    while work:
        file = work.pop()
        if file not in texts:
            texts[file] = file.read_text()
            work += _imported(ast.parse(texts[file]))
    return tuple(texts[file] for file in sorted(texts))


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
            if any(f"{name}.".startswith(f"{room}.") for room in ENGINE):
                place = PACKAGE.joinpath(*name.split(".")[1:])
                yield from filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py"))
