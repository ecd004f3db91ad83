"""A folder of class folders, or of one text file a class: which file is what, and the data made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...plain_text import in_utf8
from ..error import StudyError
from .column import Column
from .dataset import Dataset, images
from .forms import LevelForm, WordsForm
from .overrule import TextForm
from .pictures import broken_note, is_picture, left_out, read_pictures
from .table import check_classes, check_rows
from .text_file import decode_text

TRAIN, TEST = ("train", "training", "val", "valid", "validation"), ("test", "testing")
TEXT, CLASS = "text", "class"
_MARKS = ("__MACOSX", "Thumbs.db", "desktop.ini")  # of systems, no data


@dataclass(frozen=True)
class Found:
    """Files with their classes, those of the test folder marked; and files that are neither pictures nor texts."""

    files: tuple[Path, ...]
    classes: tuple[str, ...]
    tested: tuple[bool, ...]
    others: tuple[Path, ...]


def is_class_folder(folder: Path) -> bool:
    """Whether a folder holds pictures or text files, itself or in folders."""
    return any(is_picture(path) or is_text_file(path) for path in files_in(folder))


def is_text_file(path: Path) -> bool:
    return path.suffix.lower() == ".txt"


def class_folder(folder: Path, form: TextForm | None = None) -> Dataset:
    """Pictures or texts in a folder a class, or texts one a line in a file a class.

    With folders train (and perhaps val) and test that hold the class folders, the test folder's are the test rows.

    Raises StudyError: pictures beside texts, one class, too few of one, or none that can be read.
    """
    found = _found(folder)
    pictures = [is_picture(path) for path in found.files]
    if any(pictures) and not all(pictures):
        both = found.files[pictures.index(True)], found.files[pictures.index(False)]
        raise StudyError(
            f"{in_utf8(folder)}: class folders must hold pictures or texts, not both. Got "
            f"{' and '.join(in_utf8(path.relative_to(folder)) for path in both)}. Pass a folder of one kind."
        )
    notes = (
        [left_out([in_utf8(path) for path in found.others], "other file was", "other files were")]
        if found.others
        else []
    )
    return _of_pictures(folder, found, notes) if all(pictures) else _of_texts(folder, found, notes, form or TextForm())


def files_in(folder: Path) -> list[Path]:
    """All files below a folder, by name; hidden ones and those of systems are no data."""
    try:
        found = sorted(path for path in folder.rglob("*") if path.is_file())
    except OSError as error:
        raise StudyError(f"{in_utf8(folder)}: cannot be read: {error.strerror}.") from error
    return [
        path
        for path in found
        if not any(part.startswith(".") or part in _MARKS for part in path.relative_to(folder).parts)
    ]


def _found(folder: Path) -> Found:
    """Which class each file is of: the folder that it is in, or for texts beside folders its own name."""
    every = files_in(folder)
    data = [path for path in every if is_picture(path) or is_text_file(path)]
    tops = {path.relative_to(folder).parts[0].lower() for path in data if len(path.relative_to(folder).parts) > 1}
    split = bool(tops) and tops <= {*TRAIN, *TEST} and bool(tops & set(TRAIN)) and bool(tops & set(TEST))
    files, classes, tested = [], [], []
    known = set(data)
    others = [path for path in every if path not in known]
    for path in data:
        parts = path.relative_to(folder).parts
        test = split and parts[0].lower() in TEST
        inner = parts[1:] if split else parts
        if len(inner) > 1:
            name = inner[0]
        elif is_text_file(path) and not split and not tops:
            name = path.stem
        else:  # beside the class folders: a list of labels, a readme
            others.append(path)
            continue
        files.append(path)
        classes.append(in_utf8(name))
        tested.append(test)
    names = sorted(set(classes))
    if len(names) < 2:
        said = f"one, {names[0]!r}" if names else "none"
        raise StudyError(
            f"{in_utf8(folder)}: there must be two classes at least: a folder of pictures or texts for each, or a .txt "
            f"file of texts for each. Got {said}."
        )
    return Found(tuple(files), tuple(classes), tuple(tested), tuple(others))


def _of_pictures(folder: Path, found: Found, notes: list[str]) -> Dataset:
    read = read_pictures(found.files)
    place = {path: number for number, path in enumerate(found.files)}
    rows = [place[path] for path in read.files]
    labels = np.array([found.classes[row] for row in rows])
    test = np.flatnonzero([found.tested[row] for row in rows])
    _check(folder, labels, test)
    return images(
        in_utf8(folder.resolve().name),
        f"{len(rows):,} pictures in {in_utf8(folder)}",
        read.pixels,
        labels,
        test=test if len(test) else None,
        form=read.form,
        target=CLASS,
        notes=(read.note, *notes),
        warnings=broken_note(read.broken),
    )


def _of_texts(folder: Path, found: Found, notes: list[str], form: TextForm) -> Dataset:
    whole = all(len(path.relative_to(folder).parts) > 1 for path in found.files)
    texts, classes, tested = [], [], []
    for path, name, test in zip(found.files, found.classes, found.tested, strict=True):
        content = read_texts(path, form, whole)
        texts += content
        classes += [name] * len(content)
        tested += [test] * len(content)
    if not whole:
        notes.append("Each file is a class, and each line of it a text.")
    labels, test_rows = np.array(classes), np.flatnonzero(tested)
    _check(folder, labels, test_rows)
    names, codes = np.unique(labels, return_inverse=True)
    return Dataset(
        title=in_utf8(folder.resolve().name),
        source=f"{len(texts):,} texts in {in_utf8(folder)}",
        task="classification",
        target=CLASS,
        features=pd.DataFrame({TEXT: pd.Series(texts, dtype=object)}),
        y=codes.astype(np.int64),
        classes=tuple(names.tolist()),
        test=test_rows if len(test_rows) else None,
        notes=tuple(notes),
        columns=(
            Column(TEXT, "words", WordsForm(), "the files' content"),
            Column(CLASS, "level", LevelForm(), "the folders' names" if whole else "the files' names", "target"),
        ),
    )


def read_texts(path: Path, form: TextForm, whole: bool) -> list[str]:
    """A file's text, or its lines that are not blank. Raises StudyError: it can't be read or decoded."""
    text = decode_text(path, form)
    return [text] if whole else [line.strip() for line in text.splitlines() if line.strip()]


def _check(folder: Path, labels: np.ndarray, test: np.ndarray) -> None:
    own = np.delete(labels, test) if len(test) else labels
    check_rows(folder, len(own))
    names, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(np.delete(codes, test) if len(test) else codes, minlength=len(names))
    check_classes(folder, folder / TEST[0] if len(test) else None, CLASS, names, counts)
