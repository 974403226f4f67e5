"""Pictures for the demonstration: any file becomes an upright 8-bit RGB picture, several become one batch."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
import skimage.io
from PIL import Image, ImageOps, UnidentifiedImageError

from gpuconv.commands.environment import CommandError

LONGEST = 512  # pixels of the longer side of the batch
SHORTEST = 8  # pixels of the shorter side: a pooling window of the demonstration
WIDEST = 4  # as the ratio of the sides; beyond it a contact sheet shows nothing
CENTRE = (0.5, 0.25)  # where a crop is taken: heads are in the upper part of most pictures
SHIPPED = ("astronaut", "coffee", "chelsea", "rocket", "camera")  # in scikit-image's wheel: no download


@dataclass(frozen=True)
class Picture:
    """A picture (RGB, 8 bits) and the name to show with it."""

    name: str
    image: Image.Image


def shipped() -> list[Picture]:
    """Photographs that come with scikit-image, in colour and in grey."""
    return [Picture(name, _from_array(getattr(skimage.data, name)())) for name in SHIPPED]


def load(paths: Sequence[str]) -> list[Picture]:
    """The pictures in these files; CommandError, naming the file, for the first that cannot be read."""
    pictures = []
    for path in paths:
        try:
            pictures.append(Picture(Path(path).stem, _read(path)))
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}") from error
        except Image.DecompressionBombError as error:
            raise CommandError(f"{path} is too large: scale it down; Pillow's guard: {error}") from error
        except (ValueError, SyntaxError) as error:
            raise CommandError(f"{path} is no picture that can be read: {error}") from error
    return pictures


def as_batch(pictures: Sequence[Picture]) -> tuple[np.ndarray, str | None]:
    """The pictures as one float32 batch (N, 3, H, W) from 0 to 1, and a note if they had to be resized.

    Pictures of one size, and no larger than 512, are taken as they are. Otherwise each is scaled to cover the
    common size and cropped; nothing is stretched.
    """
    sizes = {picture.image.size for picture in pictures}
    W, H = _common_size([picture.image.size for picture in pictures])
    images = [
        ImageOps.fit(picture.image, (W, H), Image.Resampling.LANCZOS, centering=CENTRE)
        for picture in pictures
    ]
    batch = np.stack([np.asarray(image, np.float32) for image in images]).transpose(0, 3, 1, 2) / 255
    note = None if sizes == {(W, H)} else f"each picture is scaled and cropped to {W} x {H} (width x height)"
    return np.ascontiguousarray(batch), note


def _common_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """(W, H): the one size that all have, else the middle aspect ratio with LONGEST as the longer side."""
    W, H = sizes[0]
    fits = min(W, H) >= SHORTEST and max(W, H) <= min(LONGEST, WIDEST * min(W, H))
    if len(set(sizes)) == 1 and fits:
        return W, H
    ratios = sorted(width / height for width, height in sizes)
    ratio = min(max(ratios[len(ratios) // 2], 1 / WIDEST), WIDEST)
    return round(LONGEST * min(ratio, 1)), round(LONGEST / max(ratio, 1))


def _read(path: str) -> Image.Image:
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode == "F" or picture.mode.startswith("I"):  # more than 8 bits
                return _from_array(np.asarray(picture))
            return _on_white(picture.convert("RGBA"))
    except UnidentifiedImageError:
        return _from_array(_read_scientific(path))


def _read_scientific(path: str) -> np.ndarray:
    """Formats beyond Pillow's, such as TIFF of three floats a pixel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the readers that try in vain
            return skimage.io.imread(path)
    except Exception as error:  # each of imageio's readers raises its own kind
        raise ValueError("neither Pillow nor scikit-image knows its format") from error


def _from_array(array: np.ndarray) -> Image.Image:
    """A picture from (H, W), (H, W, 3) or (H, W, 4); other than 8-bit values are stretched to their range."""
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)) or 0 in array.shape:
        raise ValueError(f"an array of shape {array.shape} is neither grey nor RGB nor RGBA")
    if array.dtype != np.uint8:
        values = np.nan_to_num(array.astype(np.float64), posinf=0, neginf=0)
        values -= values.min()
        array = (values / (values.max() or 1) * 255).round().astype(np.uint8)
    return _on_white(Image.fromarray(array).convert("RGBA"))


def _on_white(picture: Image.Image) -> Image.Image:
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")
