"""What a study could have seen, and what it would take to see more.

An effect is seen when its 95 % interval excludes 0. With standard error `se` and `df` degrees of freedom, an effect of

    d = (t_0.975 + t_0.8) * se

is seen by 80 % of such studies (Cohen 1988). More seeds divide the seeds' part of se^2 and the rest's, more rows the
rows' part and the rest's; the other part stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from scipy.special import stdtrit

from .interval import LEVEL, Interval

POWER = 0.8
MOST = 10**9  # seeds or rows: beyond it nothing is proposed


def smallest_effect(interval: Interval) -> float:
    """The smallest difference that four of five such studies would have seen, in the metric's unit."""
    return _visible(interval.se, interval.df)


def seeds_needed(interval: Interval, effect: float) -> int | None:
    """How many seeds in all, on as many test rows as now, would see an effect of that size.

    None: more seeds alone would not do, since the rows' part stays.

    Arguments:
        effect: above 0, in the metric's unit.
    """
    return _needed("seeds_needed", effect, interval.seeds, lambda seeds: with_more(interval, seeds=seeds))


def rows_needed(interval: Interval, effect: float) -> int | None:
    """How many test rows in all, with as many seeds as now, would see an effect of that size.

    None: more rows alone would not do, since the seeds' part stays. Rows that are trained on count as given.
    """
    return _needed("rows_needed", effect, interval.rows, lambda rows: with_more(interval, rows=rows))


def with_more(interval: Interval, seeds: int | None = None, rows: int | None = None) -> Interval:
    """The interval that another number of seeds or rows would give around the same value, if nothing else changed."""
    seeds, rows = seeds or interval.seeds, rows or interval.rows
    less_seeds, less_rows = interval.seeds / seeds, interval.rows / rows
    by_seed, by_row = interval.seeds_part * less_seeds, interval.rows_part * less_rows
    rest = interval.rest_part * less_seeds * less_rows
    square = by_seed + by_row + rest
    # Satterthwaite's, scaled so that it gives today's where nothing changes
    fresh = _freedom(by_seed, by_row, rest, seeds, rows)
    today = _freedom(interval.seeds_part, interval.rows_part, interval.rest_part, interval.seeds, interval.rows)
    df = max(interval.df * fresh / today, 1.0)
    se = square**0.5
    half = float(stdtrit(df, (1 + LEVEL) / 2)) * se
    low, high = interval.value - half, interval.value + half
    return replace(
        interval,
        low=low,
        high=high,
        se=se,
        df=df,
        seeds_part=by_seed,
        rows_part=by_row,
        rest_part=rest,
        seeds=seeds,
        rows=rows,
    )


def _freedom(by_seed: float, by_row: float, rest: float, seeds: int, rows: int) -> float:
    total = by_seed + by_row + rest
    if total == 0:
        return 1.0
    return 1 / (((by_seed + rest) / total) ** 2 / (seeds - 1) + ((by_row + rest) / total) ** 2 / (rows - 1))


def _visible(se: float, df: float) -> float:
    return float(stdtrit(df, (1 + LEVEL) / 2) + stdtrit(df, POWER)) * se


def _needed(owner: str, effect: float, now: int, at: Callable[[int], Interval]) -> int | None:
    """The least number that is enough, found by doubling and halving."""
    if not effect > 0:
        raise ValueError(f"`{owner}`: `effect` must be above 0. Got {effect}. Pass the size of the difference.")

    def enough(number: int) -> bool:
        return smallest_effect(at(number)) <= effect

    if enough(now):
        return now
    below, above = now, 2 * now
    while not enough(above):
        below, above = above, 2 * above
        if above > MOST:
            return None
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if enough(middle) else (middle, above)
    return above
