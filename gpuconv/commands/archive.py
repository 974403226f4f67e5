"""`python -m gpuconv.commands.archive FOLDER [ARCH ...]`: an archive of each architecture's kernels.

For whoever builds a package: what `gpuconv compile` has compiled is put into `FOLDER/sm_90a.zip` and so on.
"""

import sys
from pathlib import Path

from gpuconv.commands.environment import CommandError, cuda_engine
from gpuconv.engines import COMPILER_HINT


def write_archives(folder: Path, architectures: list[str]) -> None:
    """Write the archives; CommandError if a kernel is not compiled yet."""
    engine = cuda_engine(COMPILER_HINT)
    from gpuconv.cuda.runtime.cubins import write_archive

    for arch in architectures or engine.ARCHITECTURES:
        found = {
            kernel.file_name(arch): kernel.find(arch) for kernel in engine.KERNELS if kernel.runs_on(arch)
        }
        missing = [name for name, cubin in found.items() if cubin is None]
        if missing:
            raise CommandError(f"{len(missing)} kernels are not compiled for {arch}, {missing[0]}")
        write_archive(folder / f"{arch}.zip", {name: cubin.to_bytes() for name, cubin in found.items()})


if __name__ == "__main__":
    try:
        write_archives(Path(sys.argv[1]), sys.argv[2:])
    except CommandError as error:
        sys.exit(f"gpuconv: {error}")
