"""Columns of which the caller says something: what they are, or that rows are cut by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from ..error import StudyError
from .cell import NOTHING, TRUTH
from .cells import plain
from .column import Column
from .forms import DateForm, LevelForm, NumberForm, WordsForm
from .learn_date import MOST, compact
from .look import EMPTY, ColumnLook
from .numbers_in_words import numbers_in_words
from .overrule import WantedColumn


def as_asked(look: ColumnLook, wanted: WantedColumn) -> Column:
    """The column as `wanted` says. Raises StudyError: a value does not allow it, or it can be read in two ways."""
    if wanted.kind == "ignore":
        found = Column(look.name, "left out", LevelForm(), "as asked")
    elif wanted.kind == "level":
        found = Column(look.name, "level", look.level_form(), f"{look.cells.nunique():,} different values, as asked")
    elif wanted.kind == "text":
        found = Column(look.name, "words", WordsForm(), "its words, as asked")
    elif wanted.kind == "number":
        found = _number(look, wanted)
    else:
        found = _date(look, wanted)
    return replace(found, asked=True)


def for_time(look: ColumnLook) -> Column:
    """Numbers or dates: what reads the most. Raises StudyError: a value is neither."""
    if not look.text:
        return Column(look.name, "date" if look.dated else "number", DateForm() if look.dated else NumberForm())
    numbers, dates = look.numbers(), look.dates(MOST)
    dated = dates is not None and dates.share > numbers.share
    form = dates.form if dates is not None and dated else numbers.form
    nothing = look.cells.map(lambda text: text is not None and text.lower() in NOTHING).to_numpy()
    wrong = form.read(look.cells).wrong | nothing
    if wrong.any():
        raise StudyError(
            "`--time`: "
            f"{look.name!r} must hold numbers, or dates as 2026-01-31 or 2026-01-31 13:05. "
            f"R{look.first(wrong, ' has')[1:]}. Mend it, or name another column."
        )
    if dates is not None and dated:
        look.check_order(dates)
    return Column(look.name, "date" if dated else "number", form)


def _number(look: ColumnLook, wanted: WantedColumn) -> Column:
    name = look.name
    if look.dated:
        raise StudyError(f"`--column {wanted}`: it holds dates. Pass {name}=date, {name}=level or {name}=ignore.")
    if not look.text:
        return Column(name, "number", NumberForm(truth=look.truth), "as asked")
    if look.said and all(text.lower() in TRUTH for text in look.said):
        return Column(name, "number", NumberForm(truth=True), f"true and false, as asked{look.missing}")
    found = look.numbers()
    _possible(look, wanted, found.strays, "number")
    look.check_sign(found)
    return Column(name, "number", found.form, f"{numbers_in_words(found.form, look.said)}, as asked{look.missing}")


def _date(look: ColumnLook, wanted: WantedColumn) -> Column:
    if look.dated:
        return look.as_date(DateForm(), ", as asked")
    if not look.text:  # 20260131 as a number
        texts = [None if pd.isna(value) else plain(value) for value in look.cells]
        values = pd.Series(texts, index=look.cells.index, name=look.name, dtype=object)
        return _date(ColumnLook(values, look.signs), wanted)
    if wanted.format is not None:
        form = DateForm(wanted.format)
        _possible(look, wanted, look.cells[form.read(look.cells).wrong].tolist(), "date")
        return look.as_date(form, ", as asked")
    form_of_digits, found = compact(look.said), look.dates(0.0)
    if form_of_digits is not None:
        return look.as_date(form_of_digits, ", as asked")
    if found is None:
        raise StudyError(f"`--column {wanted}` can't be done: {EMPTY}. Pass {look.name}=ignore.")
    _possible(look, wanted, found.strays, "date")
    look.check_order(found)
    return look.as_date(found.form, ", as asked")


def _possible(look: ColumnLook, wanted: WantedColumn, strays: Iterable[str], what: str) -> None:
    for text in Counter(strays):
        form = "" if what == "number" or wanted.format else f", or name its format, as {wanted.name}=date:%d/%m/%Y"
        raise StudyError(
            f"`--column {wanted}` can't be done: {text!r} in {look.place(text)} is no {what}. Mend it, leave it empty, "
            f"or pass {wanted.name}=level{form}."
        )
