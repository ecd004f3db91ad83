"""`thinned predict` on running texts, for networks that are asked for the next word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from ..study.data.overrule import TextForm
    from ..study.network.model import StudyModel


def scored(loaded: StudyModel, data: Path, p: float | None, form: TextForm | None) -> pd.DataFrame | None:
    """A row for each stretch of a `.txt` file, or of each in a folder; None for other networks and other data."""
    import pandas as pd

    from ..plain_text import in_utf8
    from ..study.data.class_folder import files_in, is_text_file
    from ..study.data.overrule import TextForm
    from ..study.data.text_file import decode_text
    from ..study.error import StudyError
    from ..study.network.score_text import score_text

    if loaded.words is None or loaded.words.fixed is None:
        return None
    files = [path for path in (files_in(data) if data.is_dir() else [data]) if is_text_file(path)]
    if not files:
        return None
    if p is not None:
        raise StudyError(
            "`--p`: a text is scored by whole networks, of which nothing is dropped. Leave it out, or pass the texts "
            "as rows of a table."
        )
    found = []
    for path in files:
        text = decode_text(path, form or TextForm())
        try:
            found.append(score_text(loaded, text))
        except StudyError as error:
            raise StudyError(f"{in_utf8(path)}: {error}") from None
        if data.is_dir():
            found[-1].insert(0, "file", in_utf8(path))
    return pd.concat(found, ignore_index=True)
