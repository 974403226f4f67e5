"""The file of a contact sheet: all that is wrong with it is said before the work."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from gpuconv.commands.environment import CommandError


def writable(out: str, images: Sequence[str] = ()) -> Path:
    """Where the sheet is written, which can be; CommandError if not, or if it is one of the images."""
    if not out.lower().endswith(".png"):
        raise CommandError(f"--out must end in .png, got {out}")
    try:
        path = Path(out).resolve()
        if path in [Path(image).resolve() for image in images]:
            raise CommandError(f"--out {out} is one of the pictures")
        if not path.parent.is_dir():
            raise CommandError(f"--out {out}: there is no folder {path.parent}")
        _try_to_write(path)
    except OSError as error:
        raise CommandError(f"--out {out}: {error.strerror}") from error
    return Path(out)


def write(target: Path, png: bytes) -> None:
    """Write the sheet; CommandError where that fails after all."""
    try:
        target.write_bytes(png)
    except OSError as error:
        raise CommandError(f"--out {target}: {error.strerror}") from error


def _try_to_write(path: Path) -> None:
    """Raise the OSError that a file there would; nothing is left, and a file that is there stays as it is."""
    if path.exists():
        path.open("ab").close()
    else:
        tempfile.TemporaryFile(dir=path.parent).close()
