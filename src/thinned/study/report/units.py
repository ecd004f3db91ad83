"""Numbers as a reader writes them: percent or the target's unit, a true minus sign."""

from __future__ import annotations

import math
from dataclasses import dataclass

from thinned.study.record import Study

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EM DASH}"  # stands for "none"
DECIMALS = 1  # of percent, as in the study's words
LONGEST_UNIT = 24  # characters of a column's name that fit beside an axis


@dataclass(frozen=True)
class Units:
    """How one study's figures are written. `factor` turns a record into the number on an axis."""

    percent: bool
    unit: str

    @classmethod
    def of(cls, study: Study) -> Units:
        """Percent for classification, else the target's name, cut where it is too long for an axis."""
        name = study.unit if len(study.unit) <= LONGEST_UNIT else study.unit[: LONGEST_UNIT - 1] + "…"
        percent = study.task == "classification"
        return cls(percent, "%" if percent else name)

    @property
    def factor(self) -> float:
        return 100.0 if self.percent else 1.0

    @property
    def name(self) -> str:
        """What the error is called: "error" or "RMSE"."""
        return "error" if self.percent else "RMSE"

    @property
    def axis(self) -> str:
        """The unit in brackets."""
        return f"({self.unit})"

    @property
    def gap_unit(self) -> str:
        """A difference between two percentages is in points, not percent."""
        return "points" if self.percent else self.unit

    def number(self, value: float) -> str:
        """An error without its unit, as it stands in a table or a heat map's cell."""
        return signed(value * 100, DECIMALS) if self.percent else significant(value)

    def error(self, value: float) -> str:
        """
        >>> Units(True, "%").error(0.0384)
        '3.8\N{NO-BREAK SPACE}%'
        """
        return f"{self.number(value)}\N{NO-BREAK SPACE}{self.unit}"

    def gap(self, value: float) -> str:
        """
        >>> Units(True, "%").gap(-0.0384)
        '−3.8\N{NO-BREAK SPACE}points'
        """
        return f"{self.number(value)}\N{NO-BREAK SPACE}{self.gap_unit}"


def signed(value: float, decimals: int) -> str:
    """
    >>> signed(-0.004, 1), signed(-1.25, 2), signed(float("nan"), 1)
    ('0.0', '−1.25', '—')
    """
    if not math.isfinite(value):
        return DASH if math.isnan(value) else "∞"
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def significant(value: float) -> str:
    """Three digits, and whole numbers above a thousand.

    >>> significant(0.12345), significant(-54321.6), significant(0.0)
    ('0.123', '−54,322', '0')
    """
    if not math.isfinite(value) or value == 0:
        return signed(value, 0)
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")).replace("-", MINUS)


def nats(value: float) -> str:
    """A negative log-likelihood, in nats a row."""
    return signed(value, 3)


def at(p: float) -> str:
    """A rate as it stands in a sentence; no line breaks inside it.

    >>> at(0.5)
    'p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.5'
    """
    return f"p = {p:g}".replace(" ", "\N{NO-BREAK SPACE}")


def percent(value: float) -> str:
    """
    >>> percent(0.5)
    '50\N{NO-BREAK SPACE}%'
    """
    return f"{signed(100 * value, 0)}\N{NO-BREAK SPACE}%"


def duration(seconds: float) -> str:
    """
    >>> duration(42), duration(150), duration(4000)
    ('42 s', '2.5 min', '1.1 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
