"""What hatchling calls to build a wheel: with `GPUCONV_CUBINS=1` the wheel carries the kernels compiled.

    GPUCONV_CUBINS=1 python -m build -w --no-isolation

in an environment with the extra `compile13`; `GPUCONV_CUBINS="sm_80 sm_90a"` for these architectures alone.
The kernels are compiled by `gpuconv compile`, into a folder of their own, so that nothing of other compilers
is among them, or into `$GPUCONV_CACHE_DIR`, from where what is there is taken. Without the variable a wheel
is as light as its sources.
"""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGED = "gpuconv/cuda/cubins"
MOST_BYTES = 20_000_000  # of all archives


class CubinsHook(BuildHookInterface):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get("GPUCONV_CUBINS", "").split()
        if version == "editable" or not wanted or wanted == ["0"]:
            return
        self.folder = tempfile.TemporaryDirectory()
        archives = build(Path(self.root), Path(self.folder.name), () if wanted == ["1"] else wanted)
        for archive in archives:
            build_data["force_include"][str(archive)] = f"{PACKAGED}/{archive.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


def build(root: Path, folder: Path, architectures: Any) -> list[Path]:
    """Compile the kernels of the sources at `root`, and put those of each architecture into an archive."""
    if find_spec("numba_cuda") is None:
        raise RuntimeError(
            "GPUCONV_CUBINS compiles kernels, and numba-cuda is not in this environment: "
            "pip install '.[compile13]' and build with --no-isolation"
        )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])),
        "GPUCONV_CACHE_DIR": os.environ.get("GPUCONV_CACHE_DIR") or str(folder / "compiled"),
    }
    chosen = ["--arch", *architectures] if architectures else []
    for arguments in (
        ["-m", "gpuconv", "compile", *chosen],
        ["-m", "gpuconv.commands.archive", str(folder), *architectures],
    ):
        subprocess.run([sys.executable, *arguments], cwd=root, env=environment, check=True)
    archives = sorted(folder.glob("*.zip"))
    if not archives or sum(archive.stat().st_size for archive in archives) > MOST_BYTES:
        raise RuntimeError(
            f"archives of GPU code must be there, and of {MOST_BYTES} bytes at most: {archives}"
        )
    return archives
