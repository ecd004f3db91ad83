"""How sure a mean over seeds and test rows is, when both are samples.

The question: *new rows from the same source, against networks trained like these from this pool of rows*. Seeds differ
in the part of the pool that they train on, in first weights, order and masks. The pool itself is given; for a new pool
see `wider`.

Values come as blocks, one for each outer fold: `v[s, i]` of S seeds on N test rows, `v = mean + seed + row + rest`.
In a block

    A = Var_s(mean_i v) / S    seeds, and the rest's share
    B = Var_i(mean_s v) / N    rows, and the rest's share
    R = MS_rest / (S N)        the rest's share alone, which A and B both hold
    se^2 = A + B - R

without bias, however values are distributed (Cornfield and Tukey 1956), and never below the larger of A and B: no part
is negative. Blocks are weighted by their rows: every row counts once. Degrees of freedom are those of the larger one
where it decides, else Satterthwaite's (1946), with A's and B's pooled over blocks.

With K blocks, test rows of one fold are training rows of the others. For the mean over the pools at hand blocks count
as independent in large samples (Bayle et al. 2020); in small ones they do not, and no unbiased estimate of the variance
exists (Bengio and Grandvalet 2004). B is taken K / (K - 1) times, by simulation: without it intervals of 178 rows in 4
folds hold 89 to 96 %, with it 94 to 98 %.

Measured coverage: `benchmarks/coverage.py`, and docs/guides/study.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

LEVEL = 0.95

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval, standard error, degrees of freedom, and where the scatter comes from.

    `seeds_part`, `rows_part` and `rest_part` are variances that add up to se^2: more seeds divide the first, more rows
    the second, either the third. `seeds` and `rows` are how many there were, over all blocks.
    """

    value: float
    low: float
    high: float
    se: float
    df: float
    seeds_part: float
    rows_part: float
    rest_part: float
    seeds: int
    rows: int

    def minus(self) -> Interval:
        return replace(self, value=-self.value, low=-self.high, high=-self.low)


@dataclass(frozen=True)
class Bounds:
    """What a row's value can be at all, and how many rows carry the figure.

    A mean between 0 and 1 gets two pseudo-rows at each end (Agresti and Coull 1998), a difference of two such means
    one at -1 and one at 1 (Bonett and Price 2012), which weigh the less, the less seeds agree on a row. A mean above 0
    without an upper end gets its interval on a logarithmic scale.

    Arguments:
        low, high: the least and the largest value; `high` may be infinite where `low` is 0 or more.
        rows: the number of rows that carry the figure, where classes weigh alike: `metric.Metric.bounds` gives it.
    """

    low: float
    high: float
    rows: float | None = None


def interval(blocks: Sequence[Values], bounds: Bounds | None = None) -> Interval:
    """The mean of all rows' values, each averaged over its block's seeds, with its 95 % interval.

    Never of width zero: where no two values of a block differ, fewer than 1 - 0.05^(1/N) of new rows differ from
    them (exact, at 95 %), and such a row's value may lie anywhere within `bounds`. Without finite bounds a
    distance of the values' own size stands in, or of 1 where they are 0.

    Arguments:
        blocks: arrays (seeds, test rows), one for each outer fold; a single one where there is one test set. Columns
            are rows of data. For a difference: paired values, one minus the other.
        bounds: what a value can be; `metric.Metric.bounds` and `.difference_bounds` give it.

    Raises ValueError for no block, or one with fewer than two seeds or rows, and for values that are not finite.

    >>> found = interval([np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]])])
    >>> round(found.value, 3)
    0.667
    """
    _check(blocks)
    total = sum(block.shape[1] for block in blocks)
    value = float(sum(block.mean(axis=0).sum() for block in blocks) / total)
    parts = [_parts(block, block.shape[1] / total) for block in blocks]
    by_seed, by_row, rest = (float(sum(part[i] for part in parts)) for i in range(3))
    by_row *= len(blocks) / (len(blocks) - 1) if len(blocks) > 1 else 1.0
    freedom = (sum(len(block) - 1 for block in blocks), sum(block.shape[1] - 1 for block in blocks))
    if max(by_seed, by_row, rest) == 0:
        return _alike(value, bounds, sum(map(len, blocks)), total)
    centre = value
    if bounds is not None and np.isfinite([bounds.low, bounds.high]).all():
        count = (bounds.rows or total) / _agreement(blocks)
        centre, scale, by_row = _with_pseudo_rows(value, by_row, bounds, count)
        by_seed, rest = by_seed * scale, rest * scale
    square = max(by_seed + by_row - rest, by_seed, by_row) or rest  # means may agree where values do not
    df = float(freedom[0] if by_seed > by_row else freedom[1])
    if rest < min(by_seed, by_row):
        df = 1 / ((by_seed / square) ** 2 / freedom[0] + (by_row / square) ** 2 / freedom[1])
    se = square**0.5
    half = float(stdtrit(df, (1 + LEVEL) / 2)) * se
    low, high = centre - half, centre + half
    if bounds is not None:
        if bounds.low >= 0.0 and bounds.high == np.inf and value > 0:
            low, high = value * np.exp(-half / value), value * np.exp(half / value)
        low, high = min(max(low, bounds.low), value), max(min(high, bounds.high), value)
    return Interval(
        value=value,
        low=float(low),
        high=float(high),
        se=se,
        df=df,
        seeds_part=(seeds_part := max(by_seed - rest, 0.0)),
        rows_part=(rows_part := max(by_row - rest, 0.0)),
        rest_part=max(square - seeds_part - rows_part, 0.0),
        seeds=sum(map(len, blocks)),
        rows=total,
    )


def _check(blocks: Sequence[Values]) -> None:
    if not blocks:
        raise ValueError("`interval`: `blocks` must hold at least one array. Got none.")
    for block in blocks:
        if block.ndim != 2 or min(block.shape) < 2:
            raise ValueError(
                f"`interval`: every block must have at least two seeds and two rows. Got shape {block.shape}. "
                "Train with one more seed."
            )
        if not np.isfinite(block).all():
            raise ValueError(
                "`interval`: values must be finite. Got nan or infinity. `Metric.rows` gives finite values."
            )


def _parts(block: Values, weight: float) -> tuple[float, float, float]:
    """A, B and R of a block, times the square of its weight."""
    seeds, rows = block.shape
    by_seed, by_row = block.mean(axis=1), block.mean(axis=0)
    rest = block - by_seed[:, None] - by_row + block.mean()
    mean_square = float((rest**2).sum()) / ((seeds - 1) * (rows - 1))
    a, b = float(by_seed.var(ddof=1)) / seeds, float(by_row.var(ddof=1)) / rows
    return a * weight**2, b * weight**2, mean_square / (seeds * rows) * weight**2


def _with_pseudo_rows(value: float, by_row: float, bounds: Bounds, count: float) -> tuple[float, float, float]:
    """The centre, what other variances shrink by, and B, after a few rows at the ends."""
    ends = np.repeat([bounds.low, bounds.high], 1 if bounds.low < 0 else 2)
    whole = count + len(ends)
    centre = (count * value + float(ends.sum())) / whole
    squares = by_row * count**2 + count * (value - centre) ** 2 + float(((ends - centre) ** 2).sum())
    return centre, (count / whole) ** 2, squares / whole**2


def _agreement(blocks: Sequence[Values]) -> float:
    """How far seeds agree on a row, from 1 / S to 1: one row of full agreement and of size 1 is added to those seen."""
    means = sum(float((block.mean(axis=0) ** 2).sum()) for block in blocks)
    squares = sum(float((block**2).mean(axis=0).sum()) for block in blocks)
    return (1 + means) / (1 + squares)


def _alike(value: float, bounds: Bounds | None, seeds: int, rows: int) -> Interval:
    """Where no two values of a block differ: an exact bound on the share of new rows that do."""
    low, high = (bounds.low, bounds.high) if bounds else (-np.inf, np.inf)
    share = 1 - (1 - LEVEL) ** (1 / ((bounds.rows if bounds else None) or rows))
    below = value - low if np.isfinite(low) else abs(value) or 1.0
    above = high - value if np.isfinite(high) else abs(value) or 1.0
    ends = value - share * below, value + share * above
    df = float(rows - 1)
    se = max(below, above) * share / float(stdtrit(df, (1 + LEVEL) / 2))
    return Interval(value, *ends, se, df, 0.0, se**2, 0.0, seeds, rows)
