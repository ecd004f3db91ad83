"""Figures as words: the deciding metric, errors and likelihoods, each with its unit, and levels by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..record import LevelResult, Study

SHARES = ("error", "balanced-error", "auc", "f1")  # metrics that are shares of 1, said in percent and points


def name(level: LevelResult) -> str:
    """What a level is called in words, tables and figures.

    Of several kinds: "p = 0", "p = 0.3", "weight decay 0.5", "p = 0.3 with weight decay 0.5", "p = 0.3, inputs 0.2".
    """
    if level.arm == "decay":
        return f"weight decay {level.weight_decay:g}"
    if level.arm == "both":
        return f"p = {level.p:g} with weight decay {level.weight_decay:g}"
    return f"p = {level.p:g}" + (f", inputs {level.p_input:g}" if level.arm == "input" else "")


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True)
class Speech:
    """How this study's figures are said."""

    percent: bool
    title: str  # of the deciding metric
    target: str
    metric: str

    @classmethod
    def of(cls, study: Study) -> Speech:
        return cls(study.metric in SHARES, study.metric_title, study.target, study.metric)

    def value(self, value: float) -> str:
        """A metric's value.

        >>> Speech(True, "test error", "species", "error").value(0.083)
        '8.3 %'
        """
        return f"{100 * value:.1f} %" if self.percent else f"{value:.4g}"

    def size(self, value: float) -> str:
        """The size of a difference, without its sign: at least so much that it is not said to be nothing.

        >>> Speech(True, "test error", "species", "error").size(-0.0042)
        '0.4 points'
        """
        return f"{self.number(abs(value))} points" if self.percent else f"{abs(value):.3g}"

    def number(self, value: float) -> str:
        """A difference's figure, rounded as `size` and `span` round it."""
        if not self.percent:
            return f"{value:.3g}"
        digits = 1 if abs(value) >= 0.001 or value == 0 else 2
        return f"{100 * value:.{digits}f}"

    def span(self, value: float, low: float, high: float) -> str:
        """A signed difference with its 95 % interval.

        >>> Speech(True, "test error", "species", "error").span(-0.007, -0.012, -0.003)
        '-0.7 points (95 % interval -1.2 to -0.3)'
        """
        unit = " points" if self.percent else ""
        return f"{self.signed(value)}{unit} (95 % interval {self.signed(low)} to {self.signed(high)})"

    def signed(self, value: float) -> str:
        text = self.number(value)
        return text if text.startswith("-") else f"+{text}"
