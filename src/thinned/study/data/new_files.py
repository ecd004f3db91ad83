"""Files to predict that are a row each, or images in one array: pictures, texts, an `.npz` file of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ...plain_text import in_utf8
from ..error import StudyError
from .class_folder import TEXT, files_in, is_text_file, read_texts
from .dataset import pixel_frame
from .image_arrays import holds_images, test_images
from .image_form import ImageForm
from .overrule import TextForm
from .pictures import broken_note, is_picture, read_pictures


@dataclass(frozen=True)
class NewFiles:
    """Rows as columns, the name of each row's file where it has one, and what was left out."""

    frame: pd.DataFrame
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def new_files(data: Path, form: ImageForm | None, text: TextForm | None = None) -> NewFiles | None:
    """The rows of a picture, a `.txt` file, a folder of either, or an `.npz` file of images; None for all else.

    Arguments:
        form: of the pictures in training; None for networks of other data.

    Raises StudyError: pictures for networks that have learnt from none, or none that can be read.
    """
    if holds_images(data):
        if form is None:
            raise StudyError(_no_pictures(data))
        return NewFiles(pixel_frame(form.rows(str(data), test_images(data))), ())
    files = files_in(data) if data.is_dir() else [data] if data.is_file() else []
    pictures, texts = [path for path in files if is_picture(path)], [path for path in files if is_text_file(path)]
    if pictures and texts:
        raise StudyError(
            f"{in_utf8(data)}: files must be pictures or texts, not both. Got {in_utf8(pictures[0])} and "
            f"{in_utf8(texts[0])}. Pass a folder of one kind."
        )
    if pictures:
        if form is None:
            raise StudyError(_no_pictures(data))
        read = read_pictures(pictures, form)
        return NewFiles(pixel_frame(read.pixels), tuple(map(in_utf8, read.files)), broken_note(read.broken))
    if texts:
        found = [read_texts(path, text or TextForm(), whole=True)[0] for path in texts]
        return NewFiles(pd.DataFrame({TEXT: pd.Series(found, dtype=object)}), tuple(map(in_utf8, texts)))
    return None


def _no_pictures(data: Path) -> str:
    return (
        f"{in_utf8(data)}: these networks have learnt from a table or texts, and not from pictures. Pass rows like "
        "those of the study."
    )
