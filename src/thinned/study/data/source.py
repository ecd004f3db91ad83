"""From what the user names to a `Dataset`: nothing is the digits, a folder is images, a file is a table."""

from __future__ import annotations

from pathlib import Path

from ..record import Task
from .columns import with_groups, with_time
from .dataset import Dataset, StudyError
from .digits import digits
from .idx import idx_folder
from .suspicion import number_ids, without_text_ids
from .table import table
from .twins import twins_together


def open_data(
    data: Path | None,
    target: str | None = None,
    task: Task | None = None,
    groups: str | None = None,
    time: str | None = None,
    test: Path | None = None,
) -> Dataset:
    """Load the data of a study.

    Arguments:
        data: a table, a folder of images, or None for the digits.
        target: the column to predict.
        task: "classification" or "regression", if the target does not say.
        groups: a column; rows that share its value are never on both sides of a cut.
        time: a column; the latest rows are tested on.
        test: a table of the same columns, whose rows are the test rows.

    Raises StudyError where they cannot be used.
    """
    if data is not None and not data.is_dir():
        if time is not None and (groups is not None or test is not None):
            other = "--groups" if groups is not None else "--test"
            raise StudyError(f"`--time` decides alone which rows are tested on. Got {other} beside it. Leave one out.")
        found = table(data, target, task, test)
        if groups is not None:
            found = with_groups(found, groups)
        if time is not None:
            found = with_time(found, time)
        return checked(found)
    options = {"--target": target, "--task": task, "--groups": groups, "--time": time, "--test": test}
    if any(value is not None for value in options.values()):
        given = " and ".join(f"`{name}`" for name, value in options.items() if value is not None)
        what = "The built-in digits have" if data is None else f"{data} is a folder of images, which has"
        raise StudyError(
            f"{given}: for a data file, not for images. {what} a label for every image. Leave {given} out."
        )
    return checked(digits() if data is None else idx_folder(data))


def checked(data: Dataset) -> Dataset:
    """The data without text that names rows, and with copies in one group. Notes say what was done."""
    data = without_text_ids(data)
    return twins_together(data, tuple(number_ids(data)))
