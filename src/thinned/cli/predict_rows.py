"""The rows that `thinned predict` is given, read as the networks' training read theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .terminal import say

if TYPE_CHECKING:
    from ..study.data.overrule import TextForm
    from ..study.network.model import StudyModel, StudyRows


def rows_of(loaded: StudyModel, data: Path, form: TextForm | None) -> tuple[StudyRows, list[str]]:
    """The rows, and where each is a file of its own, the files' names."""
    from ..study.data.new_files import new_files
    from ..study.data.source import open_data
    from ..study.data.table_file import read_table
    from ..study.error import StudyError

    found = new_files(data, loaded.image, form)
    if found is not None:
        for note in found.notes:
            say(f"thinned predict: {data}: {note}", err=True)
        try:
            return loaded.rows(found.frame), list(found.names)
        except StudyError as error:
            raise StudyError(f"{data}: {error}") from None
    if data.is_dir():
        return loaded.rows(open_data(data, form=form).features), []
    file = read_table(data, form, loaded.columns)
    for note in (*([] if file.usual else [f"{file.said}."]), *file.notes):
        say(f"thinned predict: {data}: {note}", err=True)
    try:
        return loaded.rows(file.frame, file.place, form.decimal if form is not None else None), []
    except StudyError as error:
        raise StudyError(f"{data}: {error}") from None
