"""From what the user names to a `Dataset`: nothing is the digits, a folder is images, a file is a table."""

from __future__ import annotations

from pathlib import Path

from ..record import Task
from .dataset import Dataset, StudyError
from .digits import digits
from .idx import idx_folder
from .table import table


def open_data(data: Path | None, target: str | None = None, task: Task | None = None) -> Dataset:
    """Load the data of a study. Raises StudyError where they cannot be used."""
    if data is not None and not data.is_dir():
        return table(data, target, task)
    if target is not None or task is not None:
        what = "The built-in digits have" if data is None else f"{data} is a folder of images, which has"
        raise StudyError(
            f"`--target` and `--task` are for a data file. {what} a label for every image. Leave them out."
        )
    return digits() if data is None else idx_folder(data)
