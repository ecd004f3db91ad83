"""Picture files as arrays: decoded by Pillow, grey or in colour, and brought to one size."""

from __future__ import annotations

import io
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...plain_text import in_utf8
from ...regular_file import read_regular
from ..error import StudyError
from .image_form import ImageForm

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
LARGEST_FILE = 100_000_000  # bytes
MOST_PIXELS = 50_000_000  # of one picture: 150 MB of colours
ROUNDING = 4  # of 255: so far apart can the colours of a grey picture be after a lossy format
LONGEST_SIDE = 32  # pixels: what two cores can train on
_LISTED = 3
_GREY = {"1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L"}


@dataclass(frozen=True)
class ReadPictures:
    """Pictures of one size, flat, `(rows, height * width * channels)`, and which files they are of.

    `broken` has a sentence for each file that could not be read.
    """

    pixels: NDArray[np.uint8]
    files: tuple[Path, ...]
    form: ImageForm
    broken: tuple[str, ...]
    note: str


def is_picture(path: Path) -> bool:
    """Whether a file's name is one of a picture."""
    return path.suffix.lower() in SUFFIXES


def read_pictures(paths: Sequence[Path], form: ImageForm | None = None) -> ReadPictures:
    """Read picture files, those that can be read.

    Arguments:
        form: the size and channels of training. None: the median size, at most 32 pixels a side, and grey where all
            pictures are.

    Raises StudyError: none can be read, or Pillow is not installed.
    """
    heads: dict[Path, tuple[int, int]] = {}
    broken: list[str] = []
    for path in paths:
        try:
            heads[path] = _opened(path).size
        except _NoPictureError as error:
            broken.append(f"{in_utf8(path)} ({error})")
    if not heads:
        raise StudyError(f"no picture can be read: {'; '.join(broken[:_LISTED])}. Copy the files again.")
    height, width = (form.height, form.width) if form is not None else _size(list(heads.values()))
    files, found = [], []
    for path in heads:
        try:
            found.append(_decoded(path, height, width))
            files.append(path)
        except _NoPictureError as error:
            broken.append(f"{in_utf8(path)} ({error})")
    if not found:
        raise StudyError(f"no picture can be read: {'; '.join(broken[:_LISTED])}. Copy the files again.")
    colours = np.stack(found)
    apart = int((colours.max(axis=3) - colours.min(axis=3)).max())
    grey = apart <= ROUNDING if form is None else form.channels == 1
    if grey and apart:
        pixels = np.round(colours @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None]  # ITU-R 601, as Pillow
    else:
        pixels = colours[..., :1] if grey else colours
    form = form or ImageForm(height, width, 1 if grey else 3)
    return ReadPictures(pixels.reshape(len(pixels), -1), tuple(files), form, tuple(broken), _note(heads, form))


def left_out(broken: Sequence[str], one: str, many: str) -> str:
    """A sentence that names files that were left out.

    >>> left_out(["a.md"], "other file was", "other files were")
    '1 other file was left out: a.md.'
    """
    more = f" and {len(broken) - _LISTED:,} more" if len(broken) > _LISTED else ""
    return f"{len(broken):,} {one if len(broken) == 1 else many} left out: {', '.join(broken[:_LISTED])}{more}."


def broken_note(broken: Sequence[str]) -> tuple[str, ...]:
    """A sentence on files that are no pictures, if there are any."""
    one, many = "file can't be read as a picture and was", "files can't be read as pictures and were"
    return (left_out(broken, one, many),) if broken else ()


class _NoPictureError(Exception):
    """Why a file is no picture that can be read."""


def _opened(path: Path) -> Image:
    try:
        from PIL import Image as Pillow
    except ModuleNotFoundError as error:
        raise StudyError("Pictures are read by Pillow, which is not installed. Run pip install pillow.") from error
    try:
        content = read_regular(path, LARGEST_FILE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # MOST_PIXELS is below it
            found = Pillow.open(io.BytesIO(content))
    except OSError as error:
        raise _NoPictureError(error.strerror or "no picture, or a damaged one") from None
    except Exception as error:  # a damaged file can raise anything in Pillow
        raise _NoPictureError(_first_line(error)) from None
    if found.size[0] * found.size[1] > MOST_PIXELS:
        raise _NoPictureError(f"{found.size[0]:,} x {found.size[1]:,} pixels are more than {MOST_PIXELS:,}")
    return found


def _decoded(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """Colours `(height, width, 3)`. Transparent parts are white; of a film the first picture is taken."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    found: Any = _opened(path)
    try:
        found.load()
        found = ImageOps.exif_transpose(found)
        if found.mode in _GREY - {"1", "L", "LA"}:  # 16 bits and more
            values = np.asarray(found, dtype=np.float64)
            found = Pillow.fromarray((values / (257.0 if values.max() > 255 else 1.0)).clip(0, 255).astype(np.uint8))
        if found.mode in ("RGBA", "LA", "PA") or "transparency" in found.info:
            found = found.convert("RGBA")
            found = Pillow.alpha_composite(Pillow.new("RGBA", found.size, "white"), found)
        found = found.convert("RGB")
        if found.size != (width, height):
            found = found.resize((width, height), Pillow.Resampling.BILINEAR)
    except Exception as error:  # a damaged file can raise anything in Pillow
        raise _NoPictureError(_first_line(error)) from None
    return np.asarray(found, dtype=np.uint8)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Height and width: the medians, made smaller alike so that the longer is at most 32."""
    width, height = (statistics.median(side) for side in zip(*sizes, strict=True))
    smaller = min(1.0, LONGEST_SIDE / max(width, height))
    return max(round(height * smaller), 1), max(round(width * smaller), 1)


def _note(heads: dict[Path, tuple[int, int]], form: ImageForm) -> str:
    colour = "grey" if form.channels == 1 else "in colour"
    sizes = sorted(set(heads.values()), key=lambda size: size[0] * size[1])
    size = f"{form.height} x {form.width} pixels"
    if sizes == [(form.width, form.height)]:
        return f"Pictures are {size}, {colour}."
    least, most = (f"{height} x {width}" for width, height in (sizes[0], sizes[-1]))
    were = f"all were {least}" if len(sizes) == 1 else f"they were {least} to {most}"
    return f"Pictures were resized to {size}, whatever their shape ({were}), and are {colour}."
