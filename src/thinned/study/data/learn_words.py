"""Which column of a table holds texts whose words are read: one that the caller names, or the only one there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from ..error import StudyError
from .column import Column, Place, row_of
from .forms import LevelForm, WordsForm
from .words import looks_like_text


def with_words(columns: Sequence[Column], frame: pd.DataFrame, place: Place = row_of) -> tuple[Column, ...]:
    """The columns; a text that is the only feature is read as words.

    Beside other features a text stays what it is, levels or the rows' name, unless the caller asks for its words.

    Raises StudyError: words of two columns are asked for.
    """
    asked = [column.name for column in columns if column.kind == "words"]
    if len(asked) > 1:
        raise StudyError(
            f"`--column`: one column can be text, whose words are read. Got {' and '.join(asked[:2])}. Join them in "
            "one column, or leave one out."
        )
    features = [column for column in columns if column.feature]
    if asked or len(features) != 1 or features[0].asked or not isinstance(features[0].form, LevelForm):
        return tuple(columns)
    texts: list[Any] = features[0].read(frame[features[0].name], place).tolist()
    if not looks_like_text(texts):
        return tuple(columns)
    words = replace(features[0], kind="words", form=WordsForm(), why="texts of several words, the only feature")
    return tuple(words if column is features[0] else column for column in columns)
