"""A user's table: a file, the name of its target column, and what is said of other columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from ..record import Task
from .cell import NOTHING, number
from .cells import EXACT, as_cells, is_text
from .column import LARGEST, Column
from .columns import absent, check_cut, check_filled, listed
from .dataset import Dataset, StudyError
from .forms import DateForm, LevelForm, NumberForm
from .learn import Role, learn, sign_of
from .learn_words import with_words
from .overrule import TextForm, Wanted, WantedColumn
from .table_file import TableFile, read_table

MIN_ROWS = 40  # fewer cannot be split into training, validation and test rows that mean anything
MIN_CLASS_ROWS = 4  # one for each of the three, and one to spare
MAX_LEVELS = 20  # a whole-number target with more values than this is a quantity, not a class


def table(
    path: Path,
    target: str | None,
    task: Task | None = None,
    test: Path | None = None,
    *,
    form: TextForm | None = None,
    wanted: Sequence[WantedColumn] = (),
    groups: str | None = None,
    time: str | None = None,
) -> Dataset:
    """Read a table, find out what its columns are, and look at its target.

    Arguments:
        path: a `.csv` or `.tsv` (also gzipped), `.parquet` or `.npz` file. An `.npz` file holds `X` (rows x columns)
            and `y`, or one array a column.
        target: the column to predict; `y` for an `.npz` file unless said otherwise.
        task: "classification" or "regression"; None decides by the target: text, truth values and at most 20 different
            whole numbers are classes, other numbers are quantities.
        test: a file of the same columns, read as `path` was.
        form: how text files are written, as far as it is not to be sniffed.
        wanted: columns of which the caller says what they are.
        groups, time: columns that stay among the features for `with_groups` and `with_time` to take away.

    Raises StudyError: no such file or column, unreadable rows, a target without values or with one value, too few rows.
    """
    file = read_table(path, form)
    frame = file.frame
    target = _target(file, target)
    cuts = [(option, name) for option, name in (("--groups", groups), ("--time", time)) if name is not None]
    for option, name in cuts:
        check_cut([*frame.columns], target, name, option, path.name)
    allowed = {"--groups": ("level",), "--time": ("date", "number")}
    asked = _asked(file, wanted, target, {name: allowed[option] for option, name in cuts})
    roles: dict[str, Role] = {target: "target"}
    roles |= {groups: "groups"} if groups is not None else {}
    roles |= {time: "time"} if time is not None else {}
    try:
        decimal = sign_of(frame, file.form)
        [answered] = learn(frame[[target]], file.form, asked, roles, file.place, decimal)
        values = answered.read(frame[target], file.place)
        known = values.notna() if answered.kind != "left out" else values.notna() & False
        if not known.any():
            raise StudyError(f"the target {target!r} has no values: all {len(frame)} are missing.")
        for option, name in cuts:
            check_filled(as_cells(frame.loc[known, name]), option, file.place)
        found = learn(frame[known].drop(columns=target), file.form, asked, roles, file.place, decimal)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    if isinstance(answered.form, DateForm):
        raise StudyError(
            f"{path}: the target must be classes or numbers. {target!r} holds dates. Pass --column {target}=level for "
            "a class each, or write what is to be predicted as a number."
        )
    own = int(known.sum())
    notes = [*_how(file, decimal), *file.notes]
    if own < len(frame):
        notes.append(f"{len(frame) - own} of {len(frame)} rows have no {target} and were left out.")
    if frame.shape[1] == 1:
        sep = "" if file.form.sep is None else " If the file has more, pass the sign between them as --sep."
        raise StudyError(f"{path}: there must be a column besides the target {target!r}. There is none.{sep}")
    check_rows(path, own)
    found = with_words(found, frame[known], file.place)
    used = [column for column in found if column.kind != "left out"]
    if not any(column.feature for column in used):
        apart = "; ".join(f"{column.name}: {column.role or column.why}" for column in found)
        raise StudyError(f"{path}: there must be a column to learn from besides the target {target!r}. {apart}.")
    features = pd.DataFrame({
        column.name: column.read(frame.loc[known, column.name], file.place) for column in used
    })  # fmt: skip
    answer = values[known]
    for column in (answered, *used):
        _check_size(file, column, answer if column is answered else features[column.name])
    if test is not None:
        other = read_table(test, form)
        more, answers = _test_rows(file, other, used, answered)
        features, answer = pd.concat([features, more]), pd.concat([answer, answers])
        notes += [f"{test.name}: {note}" for note in (*(() if other.usual else _how(other, decimal)), *other.notes)]
    features, answer = features.reset_index(drop=True), answer.reset_index(drop=True)
    if task != "regression" and isinstance(answered.form, NumberForm):
        _check_exact(path, answer)
    if answer.nunique() == 1:
        raise StudyError(
            f"{path}: the target {target!r} must have two different values at least. All {len(answer)} are "
            f"{answer.tolist()[0]!r}."
        )
    decided = task or _task(answered, answer)
    if task is None and isinstance(answered.form, NumberForm) and not answered.form.truth:
        other_task = "regression" if decided == "classification" else "classification"
        notes.append(f"{target} was read as {decided}; --task {other_task} reads it the other way.")
    columns = {column.name: column for column in (answered, *found)}
    common: dict[str, Any] = {
        "title": path.name,
        "source": f"{own:,} rows of {path}"
        + ("" if test is None else f", tested on {len(answer) - own:,} rows of {test}"),
        "target": target,
        "features": features,
        "test": None if test is None else np.arange(own, len(answer)),
        "notes": tuple(notes),
        "warnings": _on_target(answered, frame[target]),
        "columns": tuple(columns[name] for name in frame.columns),
    }
    if decided == "regression":
        return Dataset(task="regression", y=_quantities(path, answer), **common)
    names, codes = np.unique(_labels(answered, answer), return_inverse=True)
    check_classes(path, test, target, names, np.bincount(codes[:own], minlength=len(names)))
    return Dataset(task="classification", y=codes.astype(np.int64), classes=tuple(names.tolist()), **common)


def _how(file: TableFile, decimal: str | None) -> list[str]:
    """How a text file was read, a sentence."""
    return [f"{file.said}; the decimal sign is {decimal or '.'!r}."] if file.said else []


def _target(file: TableFile, target: str | None) -> str:
    names = [str(name) for name in file.frame.columns]
    if target is None:
        target = "y" if file.path.suffix == ".npz" else None
    if target is None:
        raise StudyError(
            f"{file.path}: say which column to predict with --target COLUMN. The columns are: {listed(names)}."
        )
    if target not in names:
        hint = ""
        if sum(number(name) is not None for name in names) > len(names) / 2:
            hint = "The first line must name the columns, and it looks like a row: put names above it."
        if len(names) == 1 and file.form.sep is not None:
            hint = "It was read as one column: pass the sign between columns as --sep."
        raise StudyError(f"{file.path}: `--target` must name a column. {absent(target, names, hint)}")
    return target


def _asked(
    file: TableFile, wanted: Sequence[WantedColumn], target: str, cutting: Mapping[str, tuple[str, ...]]
) -> Mapping[str, WantedColumn]:
    names = [str(name) for name in file.frame.columns]
    for item in wanted:
        if item.name not in names:
            raise StudyError(f"`--column {item}` must name a column of {file.path}. {absent(item.name, names)}")
        allowed = cutting.get(item.name, get_args(Wanted))
        if item.kind not in allowed:
            raise StudyError(
                f"`--column {item}`: {item.name} says how rows are cut, and must be {' or '.join(allowed)}. Pass "
                f"{item.name}={allowed[0]}, or leave it out."
            )
        if item.name == target and item.kind in ("date", "text", "ignore"):
            raise StudyError(f"`--column {item}`: the target must be number or level. Pass one of them.")
    return {item.name: item for item in wanted}


def _test_rows(
    file: TableFile, test: TableFile, used: Sequence[Column], answered: Column
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Features and targets of the test file, read as the other file's.

    Raises StudyError: a missing column, a value that is not as there, no target.
    """
    names = (*(column.name for column in used), answered.name)
    missing = [str(name) for name in names if name not in test.frame.columns]
    if missing:
        raise StudyError(
            f"`--test`: {test.path} must have the columns of {file.path}. Missing: {', '.join(missing[:10])}. It has: "
            f"{listed([str(name) for name in test.frame.columns])}."
        )
    found: dict[str, pd.Series[Any]] = {}
    for column in (answered, *used):
        cells = column.cells(test.frame[column.name])
        if cells.wrong.any():
            row = int(cells.wrong.argmax())
            raise StudyError(
                f"`--test`: column {column.name!r} must hold the same in both files. It holds {column.form} in "
                f"{file.path}, and {test.frame[column.name].iloc[row]!r} in {test.path}, {test.place(row)}."
            )
        found[column.name] = cells.values
        _check_size(test, column, cells.values)
    known = found[answered.name].notna()
    if not known.any():
        raise StudyError(f"`--test`: {test.path} must have rows with a {answered.name}. It has none.")
    return pd.DataFrame({column.name: found[column.name] for column in used})[known], found[answered.name][known]


def _check_size(file: TableFile, column: Column, values: pd.Series[Any]) -> None:
    """Refuse infinite and huge numbers."""
    if not isinstance(column.form, NumberForm):
        return
    numbers = values.to_numpy(dtype=np.float64)
    infinite = np.isinf(numbers)
    if infinite.any():
        place = file.place(int(values.index[int(infinite.argmax())]))
        raise StudyError(
            f"{file.path}: column {column.name!r} has {int(infinite.sum())} infinite values, the first in {place}. "
            "Mend them, or leave them empty: empty values are filled in."
        )
    huge = np.abs(numbers) > LARGEST
    if huge.any():
        row = int(huge.argmax())
        raise StudyError(
            f"{file.path}: values must lie within {LARGEST:g} of 0. Column {column.name!r} has {numbers[row]:g} in "
            f"{file.place(int(values.index[row]))}. Scale the column, or leave the value empty."
        )


def _on_target(column: Column, raw: pd.Series[Any]) -> tuple[str, ...]:
    """What words for a missing value mean in the target: a class, or no target."""
    cells = as_cells(raw)
    texts = [text for text in cells if text is not None] if is_text(cells) else []
    counts = Counter(texts)
    words = {text: count for text, count in counts.items() if text.lower() in NOTHING}
    alike = _in_other_letters(column, counts) if isinstance(column.form, LevelForm) else ()
    if not words:
        return alike
    said = " and ".join(f"{text!r} ({count:,} rows)" for text, count in words.items())
    if isinstance(column.form, LevelForm):
        return (
            f"{column.name} has {'a class' if len(words) == 1 else 'classes'} named {said}, taken as they stand. Leave "
            "such cells empty if nothing is known there.",
            *alike,
        )
    return (
        f"{column.name} is {said}: taken for missing values, since the others are numbers, and these rows are left "
        f"out. --column {column.name}=level reads every value as a class.",
    )


def _in_other_letters(column: Column, counts: Counter[str]) -> tuple[str, ...]:
    """Names the classes that are one but for capital letters and spaces: "yes" and "Yes"."""
    groups: dict[str, list[str]] = {}
    for text in sorted(counts):
        groups.setdefault(" ".join(text.casefold().split()), []).append(text)
    alike = [
        " and ".join(f"{text!r} ({counts[text]:,} rows)" for text in group) for group in groups.values() if group[1:]
    ]
    said = "; ".join(alike)
    return (
        (f"{column.name} has classes that differ in letters or spaces alone: {said}. Write them alike.",)
        if alike
        else ()
    )


def _quantities(path: Path, answer: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    numbers = pd.to_numeric(answer, errors="coerce")
    values = numbers.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        bad = answer[~np.isfinite(values)].iloc[0]
        raise StudyError(f"{path}: a regression target must be finite numbers. {answer.name!r} has {bad!r}.")
    if numbers.nunique() != len(np.unique(values)):
        raise StudyError(
            f"{path}: a regression target must have values that float64 tells apart: whole numbers up to 2^53. "
            f"{answer.name!r} has {numbers.abs().max()}. Subtract a number from all of them, or divide them."
        )
    return np.asarray(values)


def _check_exact(path: Path, answer: pd.Series[Any]) -> None:
    """Refuse whole numbers as classes that float64 may have merged."""
    values = answer.to_numpy(dtype=np.float64)
    largest = float(np.abs(values).max())
    if answer.nunique() <= MAX_LEVELS and np.all(values == np.round(values)) and largest >= EXACT:
        raise StudyError(
            f"{path}: the target {answer.name!r} must have classes that numbers tell apart, up to 2^53. It has "
            f"{largest:.17g}. Pass --column {answer.name}=level, or --task regression."
        )


def check_rows(owner: Path | str, rows: int) -> None:
    """Raises StudyError: too few rows."""
    if rows < MIN_ROWS:
        raise StudyError(f"{owner}: a study needs at least {MIN_ROWS} rows with a target. Got {rows}.")


def check_classes(path: Path | str, test: Path | str | None, target: str, names: Any, counts: Any) -> None:
    """Raises StudyError: a class has too few rows, or test rows alone."""
    if (counts == 0).any():
        raise StudyError(
            f"`--test`: the classes of {test} must be among those of {path}. {names.tolist()[int(counts.argmin())]!r} "
            "is not. Leave such rows out."
        )
    rare = [(name, int(n)) for name, n in zip(names.tolist(), counts, strict=True) if n < MIN_CLASS_ROWS]
    if rare:
        raise StudyError(
            f"{path}: every class of {target!r} needs at least {MIN_CLASS_ROWS} rows. {rare[0][0]!r} has {rare[0][1]}"
            + (f", and {len(rare) - 1} more classes have too few" if len(rare) > 1 else "")
            + ". Leave such rows out, join classes, or pass --task regression for a quantity."
        )


def _task(column: Column, answer: pd.Series[Any]) -> Task:
    if not isinstance(column.form, NumberForm) or column.form.truth:
        return "classification"
    values = answer.to_numpy(dtype=np.float64)
    whole = bool(np.all(values == np.round(values)))
    return "classification" if whole and answer.nunique() <= MAX_LEVELS else "regression"


def _labels(column: Column, answer: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Class names as plain Python kinds: truth values, whole numbers, or text."""
    if isinstance(column.form, NumberForm):
        values = answer.to_numpy(dtype=np.float64)
        if column.form.truth:
            return values.astype(bool)
        if np.all(values == np.round(values)):
            return values.astype(np.int64)
    return answer.astype(str).to_numpy(dtype=str)
