"""How long each p needs: the step whose state is kept, with the training error of that state beside it."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from thinned.study.report.picture import Missing, Picture, dress
from thinned.study.report.records import Records
from thinned.study.report.series import levels, places, seeds
from thinned.study.report.theme import Colours
from thinned.study.report.units import Units, at

NAME = "steps-by-p"


def picture(records: Records, units: Units) -> Picture | Missing:
    """Steps and training error by p; `units` are the error's."""
    shown = levels(records)
    if not shown:
        return Missing(NAME, "Steps to the kept state", "no p has been trained at every learning rate yet.")
    points = "; ".join(
        f"{at(level.p)}: {level.steps:,.0f} steps, training error {units.value(level.train_error)}" for level in shown
    )
    late = [level for level in shown if level.unfinished > 0]
    cut = f" The line at the top is the limit, {records.study.max_steps:,} steps." if late else ""
    return Picture(
        name=NAME,
        title=finding(records, units),
        caption="How to read it: left, the step whose state is kept, the median over seeds (large dots) and every seed "
        f"(faint dots), on a log axis; right, that state's mean error on its training rows, dropout off.{cut}",
        alt=f"Steps to the kept state and training error by dropout probability. {points}.",
        draw=partial(_draw, records=records, units=units),
    )


def finding(records: Records, units: Units) -> str:
    """Steps and training error at p = 0 and the best p."""
    pair = [level for level in (records.study.plain, records.study.noisy) if level] or levels(records)[:1]
    if len(pair) < 2:
        return f"At {at(pair[0].p)} the state kept comes after {pair[0].steps:,.0f} steps"
    base, other = pair
    before, after = f"{base.steps:,.0f}", f"{other.steps:,.0f}"
    if before == after:
        start = f"The state kept comes after {before} steps at {at(0)} and at {at(other.p)} alike"
    else:
        verb = "more" if other.steps > base.steps else "fewer"
        start = f"Dropout takes {verb} steps to the state kept: {after} at {at(other.p)}, {before} at {at(0)}"
    errors = units.value(base.train_error), units.value(other.train_error)
    if errors[0] == errors[1]:
        return f"{start}; the training error is {errors[0]} at both"
    end = "higher" if other.train_error > base.train_error else "lower"
    return f"{start}; its training error is {end}, {errors[1]} against {errors[0]}"


def _draw(figure: FigureBase, colours: Colours, *, records: Records, units: Units) -> None:
    left, right = figure.subplots(1, 2)
    dress(left, colours, x="p", y="step of the state kept")
    dress(right, colours, x="p", y=f"training {units.bare} {units.axis}")
    place, shown, dots = places(records), levels(records), seeds(records)
    hues = [colours.noisy if level.p > 0 else colours.plain for level in shown]
    xs = np.array([place[level.p] for level in shown])
    spread = [place[p] for p in dots["p"]]
    left.plot(spread, dots["best_step"].clip(lower=1), "o", color=colours.noisy, alpha=0.28, ms=3.5, mew=0)
    factor = units.factor
    for axes, values in (
        (left, [max(level.steps, 1.0) for level in shown]),
        (right, [factor * level.train_error for level in shown]),
    ):
        axes.plot(xs, values, color=colours.noisy, linewidth=1.4)
        for x, value, hue in zip(xs, values, hues, strict=True):
            axes.plot(x, value, "o", color=hue, markersize=6, markeredgewidth=0)
        sparse = len(place) > 6  # half a figure has room for every second rate
        names = ["" if sparse and index % 2 and p != 0 else f"{p:g}" for index, p in enumerate(place)]
        axes.set_xticks(list(place.values()), names)
        axes.set_xlim(-0.5, max(place.values()) + 0.5)
    if any(level.unfinished > 0 for level in shown):
        left.axhline(records.study.max_steps, color=colours.warn, linewidth=1.2)
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    left.yaxis.set_minor_locator(NullLocator())
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    right.set_ylim(bottom=0)
