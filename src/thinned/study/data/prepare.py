"""From columns to numbers: fitted on training rows by scikit-learn, kept as plain arrays and names.

A fitted scikit-learn pipeline can only be saved as a pickle, and loading a pickle runs whatever it holds. So the
numbers that the pipeline learnt are read out once, and training and prediction both apply these.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ..error import StudyError
from .dates_in_words import PARTS, days, part, varying
from .words import WordList, WordsPlan, learn_words

MISSING = ""  # the level of a text value that is not there
MAX_LEVELS = 30  # further levels of a text column, the rarest, share one input
PIXEL_SCALE = 255.0


@dataclass(frozen=True)
class Preparation:
    """What was learnt from training rows.

    Inputs, in order: each number column, and the parts of each date column, as `(value or fill - mean) / scale`; a 0/1
    input for each of these columns that had missing values; for each text column a 0/1 input a level, then one for the
    rare levels where there are any; then the words of the column that is read as words. A level that training rows did
    not have counts as rare, or where nothing is rare, as all zeros. A number that did not vary in the training rows is
    an input of 0, whatever it is later: nothing was learnt of it.
    """

    columns: tuple[str, ...]
    numbers: tuple[str, ...]
    dates: tuple[tuple[str, tuple[str, ...]], ...]  # date columns, and which parts of them varied
    fill: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    gaps: NDArray[np.int64]  # which of the numbers and parts have an input for being missing
    texts: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    rare: tuple[bool, ...]
    words: WordList | None = None

    @property
    def plain_inputs(self) -> int:
        """Inputs beside those of words."""
        return len(self.mean) + len(self.gaps) + sum(len(levels) for levels in self.levels) + sum(self.rare)

    @property
    def inputs(self) -> int:
        return self.plain_inputs + (0 if self.words is None else self.words.inputs)

    def input_columns(self) -> list[str]:
        """The column that each input is of, in the inputs' order."""
        values = [*self.numbers, *(name for name, parts in self.dates for _ in parts)]
        found = [*values, *(values[number] for number in self.gaps)]
        for name, levels, rare in zip(self.texts, self.levels, self.rare, strict=True):
            found += [name] * (len(levels) + rare)
        return found

    def __call__(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """The network's inputs for `frame`, which must have `columns`; others are left aside.

        Raises StudyError for a missing column or for text in a number column.
        """
        absent = [name for name in self.columns if name not in frame.columns]
        if absent:
            raise StudyError(
                f"`predict`: `X` must have the columns that the network was trained on. Missing: {', '.join(absent)}."
            )
        values = np.concatenate([numbers(frame, self.numbers), parts_of(frame, self.dates)], axis=1)
        missing = np.isnan(values)
        parts = [(np.where(missing, self.fill, values) - self.mean) / self.scale, missing[:, self.gaps]]
        for name, levels, rare in zip(self.texts, self.levels, self.rare, strict=True):
            known = texts(frame, (name,)) == np.array(levels, dtype=object)
            parts.append(known)
            if rare:
                parts.append(~known.any(axis=1, keepdims=True))
        if self.words is not None:
            parts.append(self.words(texts(frame, (self.words.plan.column,))[:, 0]))
        return np.concatenate(parts, axis=1, dtype=np.float32)


def fit(frame: pd.DataFrame, pixels: bool = False, plan: WordsPlan | None = None) -> Preparation:
    """Learn fills (medians), means, scales, levels and words from training rows; `pixels` are divided by 255 instead.

    Arguments:
        plan: how the column of texts is read.
    """
    columns = tuple(frame.columns)
    words = None if plan is None else learn_words(plan, list(texts(frame, (plan.column,))[:, 0]))
    if pixels:
        zeros = np.zeros(len(columns))
        scale = np.full(len(columns), PIXEL_SCALE)
        return Preparation(columns, columns, (), zeros, zeros, scale, np.zeros(0, dtype=np.int64), (), (), ())
    cells = tuple(name for name in columns if plan is None or name != plan.column)
    textual = {name: is_text(frame[name]) for name in cells}
    dated = {name: not textual[name] and is_date(frame[name]) for name in cells}
    number_names = tuple(name for name in cells if not textual[name] and not dated[name])
    text_names = tuple(name for name in cells if textual[name])
    dates = tuple((name, varying(frame[name])) for name in cells if dated[name])
    values = np.concatenate([numbers(frame, number_names), parts_of(frame, dates)], axis=1)
    count = values.shape[1]
    pipeline = transformer(count, len(text_names))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Skipping features without any observed values")
        if cells:
            pipeline.fit(np.concatenate([values.astype(object), texts(frame, text_names)], axis=1))
    fill = mean = np.zeros(0)
    scale = np.ones(0)
    gaps = np.zeros(0, dtype=np.int64)
    if count:
        imputer, scaler = pipeline.named_transformers_["numbers"]
        fill, mean, scale = imputer.statistics_, scaler.mean_[:count], scaler.scale_[:count].copy()
        fill = np.nan_to_num(fill)  # a column without a single value
        absent = np.isnan(values)
        scale[(np.where(absent, fill, values) == np.where(absent[0], fill, values[0])).all(axis=0)] = np.inf
        last = np.array([True] * len(number_names) + [name == PARTS[-1] for _, names in dates for name in names])
        gaps = np.flatnonzero(absent.any(axis=0) & last)  # one a date
    levels: list[tuple[str, ...]] = []
    rare: list[bool] = []
    if text_names:
        encoder = pipeline.named_transformers_["texts"]
        for found, few in zip(encoder.categories_, encoder.infrequent_categories_, strict=True):
            infrequent = set() if few is None else set(few)
            levels.append(tuple(level for level in found if level not in infrequent))
            rare.append(bool(infrequent))
    return Preparation(
        columns, number_names, dates, fill, mean, scale, gaps, text_names, tuple(levels), tuple(rare), words
    )


def transformer(count: int, texts: int) -> ColumnTransformer:
    """The scikit-learn pipeline whose numbers a `Preparation` holds: `count` numbers, then `texts` text columns."""
    return ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()),
                list(range(count)),
            ),
            (
                "texts",
                OneHotEncoder(
                    max_categories=MAX_LEVELS,
                    min_frequency=2,
                    handle_unknown="infrequent_if_exist",
                    sparse_output=False,
                ),
                list(range(count, count + texts)),
            ),
        ]
    )


def parts_of(frame: pd.DataFrame, dates: tuple[tuple[str, tuple[str, ...]], ...]) -> NDArray[np.float64]:
    """The parts of date columns as float64, missing as nan."""
    found = [part(frame[column], name) for column, names in dates for name in names]
    return np.stack(found, axis=1) if found else np.zeros((len(frame), 0))


def numbers(frame: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Number columns as float64, missing as nan, truth values as 0 and 1, dates as days since 1970."""
    if not names:
        return np.zeros((len(frame), 0))
    part = frame[list(names)]
    if all(isinstance(dtype, np.dtype) and dtype.kind in "iufb" for dtype in part.dtypes):
        return part.to_numpy(dtype=np.float64)
    return np.stack([_number(part[name]) for name in names], axis=1)


def _number(column: pd.Series[Any]) -> NDArray[np.float64]:
    if pd.api.types.is_datetime64_any_dtype(column):
        stamp = column.dt.tz_localize(None) if column.dt.tz is not None else column
        return days(stamp)
    try:
        return np.asarray(pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise StudyError(f"`predict`: column {column.name!r} must hold numbers, as in training. {error}.") from error


def texts(frame: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.object_]:
    """Text columns as `str`, missing as the level ''."""
    found = np.empty((len(frame), len(names)), dtype=object)
    for i, name in enumerate(names):
        column = frame[name]
        found[:, i] = [MISSING if absent else str(value) for value, absent in zip(column, column.isna(), strict=True)]
    return found


def is_date(column: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(column))


def is_text(column: pd.Series[Any]) -> bool:
    """Neither numbers, nor dates, nor empty: a column without a value is a number column that is always missing."""
    kinds = pd.api.types
    if kinds.is_numeric_dtype(column) or kinds.is_datetime64_any_dtype(column):
        return False
    return bool(column.notna().any())
