"""Means over seeds with their intervals, and sentences that claim no more than an interval does."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ..answer.speech import Speech
from ..record import Estimate

LEVEL = 0.95

Values = NDArray[np.float64]


def over_seeds(values: Values) -> Estimate:
    """The mean over seeds with its 95 % interval, by Student's t: for these rows, and other seeds.

    >>> over_seeds(np.array([1.0, 2.0, 3.0]))
    Estimate(value=2.0, low=-0.48..., high=4.48...)
    """
    mean = float(np.mean(values))
    if np.isfinite(values).all() and abs(mean) < 1e-12 * np.abs(values).max():
        mean = 0.0  # what rounding leaves where differences cancel
    if len(values) < 2 or not np.isfinite(values).all():
        return Estimate(value=mean, low=-math.inf, high=math.inf)
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2) * np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(value=mean, low=mean - half, high=mean + half)


def ratio_over_seeds(above: Values, below: Values) -> Estimate:
    """The geometric mean of paired ratios, with its interval."""
    found = over_seeds(np.log(above) - np.log(below))
    return Estimate(value=math.exp(found.value), low=math.exp(found.low), high=math.exp(min(found.high, 700.0)))


def seen(found: Estimate, without: float = 0.0) -> int:
    """-1 or 1 where the whole interval lies on a side of `without`; 0 where it holds it, and no difference is seen.

    >>> seen(Estimate(value=1.0, low=0.5, high=1.5)), seen(Estimate(value=1.0, low=-0.5, high=2.5))
    (1, 0)
    """
    return -1 if found.high < without else 1 if found.low > without else 0


def compared(speech: Speech, what: str, found: Estimate, base: str) -> str:
    """A clause on a paired difference in error: `what` minus `base`.

    >>> speech = Speech(True, "test error", "species", "error")
    >>> compared(speech, "input", Estimate(value=-0.02, low=-0.03, high=-0.01), "none")
    'input lowers the test error against none: -2.0 points (95 % interval -3.0 to -1.0)'
    """
    side = seen(found)
    if side == 0:
        return f"with {what} no difference from {base} was seen: {_said(speech, found)}"
    verb = "lowers" if side < 0 else "raises"
    return f"{what} {verb} the {speech.title} against {base}: {_said(speech, found)}"


def likelihood(found: Estimate) -> str:
    """A sentence on a paired difference in NLL, behind one on errors.

    >>> likelihood(Estimate(value=-0.2, low=-0.3, high=-0.1))
    'Its NLL is lower: -0.200 nats a row (95 % interval -0.300 to -0.100).'
    """
    return beside("NLL", found, "nats a row")


def beside(what: str, found: Estimate, unit: str = "") -> str:
    """The same for any figure.

    >>> beside("Brier score", Estimate(value=0.0, low=-0.1, high=0.1))
    'No difference in Brier score was seen: +0.000 (95 % interval -0.100 to +0.100).'
    """
    text = f"{found.value:+.3f}{unit and ' '}{unit} (95 % interval {found.low:+.3f} to {found.high:+.3f})"
    side = seen(found)
    if side == 0:
        return f"No difference in {what} was seen: {text}."
    return f"Its {what} is {'lower' if side < 0 else 'higher'}: {text}."


def _said(speech: Speech, found: Estimate) -> str:
    if math.isfinite(found.high - found.low):
        return speech.span(found.value, found.low, found.high)
    return f"{speech.signed(found.value)}, of one seed"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[0].upper()}{text[1:]}."
