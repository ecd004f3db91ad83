"""What training rows teach of their columns, by scikit-learn.

A fitted scikit-learn pipeline can only be saved as a pickle, and loading a pickle runs whatever it holds. So the
numbers that the pipeline learnt are read out once, and training and prediction both apply these. Prediction alone needs
no scikit-learn, which takes a second to load.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .dates_in_words import PARTS, varying
from .prepare import MAX_LEVELS, Preparation, is_date, is_text, numbers, parts_of, texts
from .words import WordsPlan, learn_words

PIXEL_SCALE = 255.0


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
