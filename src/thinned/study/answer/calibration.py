"""How honest probabilities are: the expected calibration error, with an interval and what honesty itself would show.

    ECE = sum_b |sum_{i in b} (confidence_i - right_i)| / N    15 bins of equal width (Guo et al. 2017)

as torchmetrics computes it. Chance alone makes it positive: labels drawn from the confidences show an ECE as well, the
larger the fewer the rows (13 % at 44). That figure, `honest`, stands beside the network's own. Below 1,000 rows there
is no ECE here.

The interval is the basic bootstrap's over rows, which takes out as much of that excess as resampling adds. Its low end
is never above the value less what honest probabilities stay below in 97.5 % of draws: where chance alone can show such
an ECE, the interval begins at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, softmax

from .interval import LEVEL
from .metric import METRICS

BINS = 15
LEAST_ROWS = 1000
_DRAWS = 400

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CalibrationError:
    """The ECE in [0, 1], mean over seeds, with its 95 % interval; `honest` is what true probabilities would show."""

    value: float
    low: float
    high: float
    honest: float


def calibration_error(
    outputs: Sequence[NDArray[np.floating]], y: NDArray[np.int64], key: int = 0
) -> CalibrationError | None:
    """The expected calibration error of several seeds' networks on the same rows, or None below 1,000 rows.

    Arguments:
        outputs: logits (rows, classes), one array a seed, at the temperature that is asked about.
        y: the rows' classes.
        key: of the bootstrap; the same key gives the same figures.
    """
    if len(y) < LEAST_ROWS:
        return None
    rng = np.random.default_rng(key)
    found = [_confidence(output, y) for output in outputs]
    value = float(np.mean([expected_error(sure, right) for sure, right in found]))
    counts = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=_DRAWS).astype(np.float32)
    again = np.mean([_of_bins(counts @ _by_bin(sure, right), len(y)) for sure, right in found], axis=0)
    tail = (1 - LEVEL) / 2
    low, high = 2 * value - np.quantile(again, [1 - tail, tail])
    chance = np.stack([_honest(sure, rng) for sure, _ in found])
    low = min(low, value - np.quantile(chance, 1 - tail))
    return CalibrationError(value, min(max(float(low), 0.0), value), max(float(high), value), float(chance.mean()))


def expected_error(sure: Floats, right: Floats) -> float:
    """The expected calibration error of confidences in [0, 1] whose rows are right (1) or wrong (0)."""
    return float(_of_bins(_by_bin(sure, right).sum(axis=0), len(sure)))


def within(output: NDArray[np.floating], y: NDArray[np.floating], sigma: float) -> Floats:
    """For numbers: whether each row's target is within the 95 % interval, 1 or 0; the mean ought to be 0.95.

    Arguments:
        output, y: standardised values, (rows, 1) and (rows,).
        sigma: of `temperature.sigma`, in the same units.
    """
    half = float(ndtri((1 + LEVEL) / 2)) * sigma
    return (METRICS["mae"].rows(output, y) <= half).astype(np.float64)


def _confidence(output: NDArray[np.floating], y: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Of each row the probability of its predicted class, and whether that is right."""
    wrong = METRICS["error"].rows(output, y)
    sure = softmax(output.astype(np.float64), axis=1).max(axis=1)
    return np.where(np.isfinite(sure), sure, 1.0), 1 - wrong


def _bins(sure: Floats) -> NDArray[np.int64]:
    edges = np.linspace(0, 1, BINS + 1)
    return np.clip(np.digitize(sure, edges) - 1, 0, BINS - 1)


def _by_bin(sure: Floats, right: Floats) -> NDArray[np.float32]:
    """Confidence minus right, in the column of the row's bin: (rows, bins)."""
    columns = np.zeros((len(sure), BINS), np.float32)
    columns[np.arange(len(sure)), _bins(sure)] = sure - right
    return columns


def _of_bins(sums: NDArray[np.float32], rows: int) -> Floats:
    return np.asarray(np.abs(sums.astype(np.float64)).sum(axis=-1) / rows)


def _honest(sure: Floats, rng: np.random.Generator) -> Floats:
    """ECEs of labels that are drawn from the confidences."""
    inside = np.eye(BINS, dtype=np.float32)[_bins(sure)]
    right = rng.random((_DRAWS, len(sure)), dtype=np.float32) < sure
    return _of_bins((sure - right).astype(np.float32) @ inside, len(sure))
