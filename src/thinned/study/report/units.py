"""Numbers as text, as the study's words round them, with a true minus sign and the target's unit."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from thinned.study.answer.speech import Speech
from thinned.study.record import Study

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EM DASH}"  # stands for "none"
INFINITE = "∞"
GLUE = "\N{NO-BREAK SPACE}"
LONGEST_UNIT = 24  # characters of a column's name that fit beside an axis


@dataclass(frozen=True)
class Units:
    """How one figure of a study is written. `factor` turns a record into the number on an axis."""

    title: str
    percent: bool
    unit: str  # empty where the figure has none
    speech: Speech

    @classmethod
    def deciding(cls, study: Study) -> Units:
        """The metric that decides."""
        speech = Speech.of(study)
        unit = "%" if speech.percent else _short("" if study.unit == "%" else study.unit)
        return cls(study.metric_title.replace(" - ", f" {MINUS} "), speech.percent, unit, speech)

    @classmethod
    def error(cls, study: Study) -> Units:
        """The misclassified share, or the RMSE in the target's units."""
        percent = study.task == "classification"
        speech = Speech(percent, study.error_title, study.target, "error")
        return cls(study.error_title, percent, "%" if percent else _short(study.target), speech)

    @property
    def factor(self) -> float:
        return 100.0 if self.percent else 1.0

    @property
    def axis(self) -> str:
        """The unit in brackets, or nothing."""
        return f"({self.unit})" if self.unit else ""

    @property
    def change_unit(self) -> str:
        """A difference between two percentages is in points, not percent."""
        return "points" if self.percent else self.unit

    def number(self, value: float) -> str:
        """A figure without its unit."""
        return plain(value, self.speech.value(value).removesuffix(" %"))

    def value(self, value: float) -> str:
        """A figure with its unit; a target's name is left out where it would stand beside every number."""
        return f"{self.number(value)}{GLUE}%" if self.percent and math.isfinite(value) else self.number(value)

    @property
    def bare(self) -> str:
        """The error's name without its rows: "error" or "RMSE"."""
        return self.title.removeprefix("test ")

    def change(self, value: float) -> str:
        """A difference without its unit, signed."""
        return plain(value, self.speech.signed(value))

    def size(self, value: float) -> str:
        """A difference's size or a gap, with "points" where it has them and its sign only below 0."""
        unit = f"{GLUE}points" if self.percent else ""
        return plain(value, self.speech.number(value)) + unit

    def interval(self, low: float, high: float) -> str:
        """A figure's interval, in as many digits as it takes to tell its ends apart; a dash where it has no width."""
        if not low < high:
            return DASH
        texts, places = (self.number(low), self.number(high)), 2
        while texts[0] == texts[1] and places < 15:
            least, most = (f"{100 * x:.{places}f}" if self.percent else f"{x:.{places + 2}g}" for x in (low, high))
            texts, places = (plain(low, least), plain(high, most)), places + 1
        return f"{texts[0]} to {texts[1]}"

    def change_interval(self, value: float, low: float, high: float) -> tuple[str, str]:
        """A signed difference and its interval, as the sentences give them."""
        if not low < high:
            return (self.change(value) if value else plain(0.0, self.speech.number(0.0))), DASH
        texts = self.speech.told_apart(value, low, high)
        middle, least, most = (plain(x, text) for x, text in zip((value, low, high), texts, strict=True))
        return middle, f"{least} to {most}"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_UNIT else name[: LONGEST_UNIT - 1] + "…"


def plain(value: float, text: str) -> str:
    """The text of a number, its minus sign a true one; a dash for nan.

    >>> plain(-0.5, "-0.50"), plain(float("nan"), "nan"), plain(-1e-9, "-0.0")
    ('−0.50', '—', '0.0')
    """
    if not math.isfinite(value):
        return DASH if math.isnan(value) else INFINITE
    bare = text.lstrip("-+")
    if float(bare.replace(",", "")) == 0 and text.startswith("-"):
        return bare
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def nats(value: float) -> str:
    """A negative log-likelihood, in nats a row.

    >>> nats(-0.25)
    '−0.250'
    """
    return plain(value, f"{value:.3f}")


def at(p: float) -> str:
    """A rate as it stands in a sentence; no line breaks inside it.

    >>> at(0.5)
    'p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.5'
    """
    return f"p = {p:g}".replace(" ", GLUE)


def percent(value: float) -> str:
    """
    >>> percent(0.5)
    '50\N{NO-BREAK SPACE}%'
    """
    return f"{plain(value, f'{100 * value:.0f}')}{GLUE}%"


def duration(seconds: float) -> str:
    """
    >>> duration(42), duration(150), duration(4000)
    ('42 s', '2.5 min', '1.1 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def unbroken(sentence: str) -> str:
    """A sentence of the study as the page sets it: true minus signs, no line's end inside "p = 0.5" or before "%".

    >>> unbroken("At p = 0.5: -3 %.") == "At p\\u00a0=\\u00a00.5: \\u22123\\u00a0%."
    True
    """
    signs = re.sub(r"(?<![\w.)-])-(?=\d)", MINUS, sentence).replace("1 - ", f"1 {MINUS} ")
    return signs.replace(" %", f"{GLUE}%").replace("p = ", f"p{GLUE}={GLUE}")
