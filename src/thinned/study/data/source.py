"""From what the user names to a `Dataset`: nothing is the digits, a folder is images or texts, a file is a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..record import Task
from .class_folder import class_folder, is_class_folder
from .column import read_columns
from .columns import with_groups, with_time
from .dataset import Dataset, StudyError
from .digits import digits
from .idx import idx_folder
from .image_arrays import holds_images, image_arrays
from .learn import learn
from .learn_words import with_words
from .overrule import TextForm, WantedColumn, check_time_alone
from .running_text import is_running_text, running_text
from .sound import check_dataset
from .suspicion import number_ids, without_constants, without_row_numbers, without_text_ids
from .table import table
from .twins import twins_together


def open_data(
    data: Path | None,
    target: str | None = None,
    task: Task | None = None,
    groups: str | None = None,
    time: str | None = None,
    test: Path | None = None,
    form: TextForm | None = None,
    wanted: Sequence[WantedColumn] = (),
) -> Dataset:
    """Load the data of a study.

    Arguments:
        data: a table, an `.npz` file of images, a folder of images, of class folders or of a text file a class, one
            long text as a `.txt` file, or None for the digits.
        target: the column to predict.
        task: "classification" or "regression", if the target does not say.
        groups: a column; rows that share its value are never on both sides of a cut.
        time: a column; the latest rows are tested on.
        test: a table of the same columns, whose rows are the test rows.
        form: how text files are written, as far as it is not to be sniffed.
        wanted: columns of which the caller says what they are.

    Raises StudyError where they cannot be used.
    """
    form = form or TextForm()
    cuts: dict[str, object] = {"--groups": groups, "--time": time, "--test": test}
    asked = {"--target": target, "--task": task, **cuts}
    written: dict[str, object] = {"--sep": form.sep, "--decimal": form.decimal, "--column": wanted or None}
    if data is not None and data.is_dir() and is_class_folder(data):
        _refuse(f"{data} is a folder of files, each of a class,", asked | written)
        return checked(class_folder(data, form))
    if data is not None and is_running_text(data):
        step = ", or call a table .csv or .tsv"
        _refuse(f"{data} is one long text, whose next words are asked for,", asked | written, step)
        return running_text(data, form)
    encoded = {"--sep": form.sep, "--encoding": form.encoding, **written}
    if data is not None and holds_images(data):
        _refuse(f"{data} holds images,", cuts | encoded)
        return checked(image_arrays(data, target, task))
    if data is not None and not data.is_dir():
        check_time_alone(groups, time, test)
        found = table(data, target, task, test, form=form, wanted=wanted, groups=groups, time=time)
        if groups is not None:
            found = with_groups(found, groups)
        if time is not None:
            found = with_time(found, time)
        return checked(found)
    _refuse("The built-in digits have" if data is None else f"{data} is a folder of images, which has", asked | encoded)
    return checked(digits() if data is None else idx_folder(data))


def _refuse(what: str, options: Mapping[str, object], step: str = "") -> None:
    """Raises StudyError: options for tables. `step` is another way out."""
    given = " and ".join(f"`{name}`" for name, value in options.items() if value is not None)
    if not given:
        return
    if what.endswith(","):
        raise StudyError(f"{given}: for a table. {what} and has no columns to name. Leave {given} out{step}.")
    raise StudyError(f"{given}: for a data file, not for images. {what} a label for every image. Leave {given} out.")


def checked(data: Dataset, wanted: Sequence[WantedColumn] = ()) -> Dataset:
    """The data without what names or numbers the rows and what never varies; copies in one group. Notes say so."""
    check_dataset(data)
    data = learned(data, wanted)
    for step in (without_text_ids, without_row_numbers, without_constants):
        data = step(data)
    return twins_together(data, tuple(number_ids(data)))


def learned(data: Dataset, wanted: Sequence[WantedColumn] = ()) -> Dataset:
    """The data with what is known of their columns, and the columns as values; as it is where this has been done.

    Raises StudyError: `wanted` names no column, or what can't be done.
    """
    if data.columns or data.pixels:
        return data
    absent = [str(item) for item in wanted if item.name not in data.features.columns]
    if absent:
        raise StudyError(f"`--column {absent[0]}` must name a feature of {data.title}. There is none of this name.")
    rows = np.arange(data.rows) if data.test is None else np.setdiff1d(np.arange(data.rows), data.test)
    own = data.features.iloc[rows].reset_index(drop=True)
    columns = with_words(learn(own, wanted={item.name: item for item in wanted}), own)
    return replace(data, columns=columns, features=read_columns(columns, data.features))
