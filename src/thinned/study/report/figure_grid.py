"""Learning rate against p: how far every pair lies above the best on validation rows, and the rates chosen."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import FigureBase
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from thinned.study.report.picture import Missing, Picture, dress, legend
from thinned.study.report.records import Records
from thinned.study.report.series import grid, raced
from thinned.study.report.theme import STEPS, Colours
from thinned.study.report.units import INFINITE, at, nats

NAME = "lr-by-p"
NEVER, DIVERGED = -1, -2


def picture(records: Records) -> Picture | Missing:
    """The map of learning rate against p."""
    table = grid(records)
    if table.isna().to_numpy().all():
        return Missing(NAME, "Learning rate against p", "no run has finished yet.")
    picks, codes, left = chosen(records), steps(table), raced(records, table)
    classes = records.study.task == "classification"
    what = "validation Brier score" if classes else "validation mean squared error (standardised)"
    cells = "; ".join(
        f"{at(float(p))}, learning rate {float(lr):g}: {nats(float(value))}"
        for lr, row in zip(table.index, table.to_numpy(float), strict=True)
        for p, value in zip(table.columns, row, strict=True)
        if not np.isnan(value)
    )
    signs = " Pale: most runs left early, far behind another rate." if left.any() else ""
    signs += " Hatched: never run." if (codes == NEVER).any() else ""
    signs += f" {INFINITE}: a run diverged." if (codes == DIVERGED).any() else ""
    splits = "s, one an outer split," if any(len(set(lrs)) > 1 for lrs in picks.values()) else ""
    return Picture(
        name=NAME,
        title=finding(picks),
        caption=f"How to read it: a cell says by how many percent its mean {what} lies above the lowest of all "
        f"({nats(lowest(table))}); the more it stands out, the better. Framed: the learning rate{splits} that "
        f"validation chose for that p, with its neighbours taken into account.{signs}",
        alt=f"{what} by learning rate and dropout probability. {cells}.",
        draw=partial(_draw, table=table, picks=picks, left=left),
        size=(4.3, max(1.9, 1.1 + 0.33 * len(table))),
    )


def chosen(records: Records) -> dict[float, list[float]]:
    """The chosen learning rates by p, one an outer split."""
    return {level.p: level.lrs for level in records.study.levels if level.arm == "dropout"}


def lowest(table: pd.DataFrame) -> float:
    """The best cell's value, infinite where every run diverged."""
    values = table.to_numpy(float)
    finite = values[np.isfinite(values)]
    return float(finite.min()) if finite.size else np.inf


def above(value: float, least: float) -> str:
    """How many percent a cell lies above the best.

    >>> above(0.206, 0.2), above(0.2, 0.2), above(0.9, 0.2)
    ('+3', '0', '>99')
    """
    if not np.isfinite(value):
        return INFINITE
    share = round(100 * (value / least - 1)) if least > 0 else 0
    return "0" if share == 0 else f"+{share}" if share <= 99 else ">99"


def steps(table: pd.DataFrame) -> NDArray[np.int_]:
    """Each cell's step on the ramp: the last for the lowest value, the first at twice the median's distance from it.

    Whatever is worse shares the first step: one poor learning rate must not flatten all others. `NEVER` and `DIVERGED`
    mark the cells that have no value.
    """
    values = table.to_numpy(float)
    finite = values[np.isfinite(values)]
    least, middle = (float(finite.min()), float(np.median(finite))) if finite.size else (0.0, 1.0)
    distance = (np.where(np.isfinite(values), values, least) - least) / (2 * (middle - least) or 1.0)
    codes = np.rint((STEPS - 1) * (1 - distance.clip(0, 1))).astype(int)
    return np.where(np.isnan(values), NEVER, np.where(np.isinf(values), DIVERGED, codes))


def finding(picks: dict[float, list[float]]) -> str:
    """How the chosen learning rate moves with p."""
    ps = sorted(picks)
    if not ps:
        return "Validation by learning rate and p"
    every = [rate for p in ps for rate in picks[p]]
    if any(len(set(picks[p])) > 1 for p in ps):
        return f"The learning rates that validation chose lie between {min(every):g} and {max(every):g}"
    rates = [picks[p][0] for p in ps]
    if len(rates) == 1:
        return f"At {at(ps[0])} validation chose the learning rate {rates[0]:g}"
    if len(set(rates)) == 1:
        return f"Validation chose the same learning rate, {rates[0]:g}, at every p"
    if rates == sorted(rates) or rates == sorted(rates, reverse=True):
        verb = "rises" if rates[-1] > rates[0] else "falls"
        return f"The chosen learning rate {verb} from {rates[0]:g} at {at(ps[0])} to {rates[-1]:g} at {at(ps[-1])}"
    return f"The chosen learning rate lies between {min(rates):g} and {max(rates):g}, in no order of p"


def _draw(
    figure: FigureBase,
    colours: Colours,
    *,
    table: pd.DataFrame,
    picks: dict[float, list[float]],
    left: NDArray[np.bool_],
) -> None:
    axes = figure.subplots()
    dress(axes, colours, x="dropout probability p", y="learning rate")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    ps, lrs, values = table.columns.to_numpy(float), table.index.to_numpy(float), table.to_numpy(float)
    rows, columns = values.shape
    size, least = (9.0 if columns <= 7 else 7.6), lowest(table)
    for (row, column), step in np.ndenumerate(steps(table)):
        corner = (column - 0.47, row - 0.46)
        picked = float(lrs[row]) in picks.get(float(ps[column]), [])
        if step == NEVER:
            axes.add_patch(Rectangle(corner, 0.94, 0.92, fc="none", ec=colours.rule, hatch="////", linewidth=0))
            continue
        pale = bool(left[row, column]) and not picked
        fill = colours.ramp[step] if step >= 0 and not pale else "none"
        if picked:  # paper between frame and fill keeps the frame visible on every step, in dark and light
            axes.add_patch(Rectangle(corner, 0.94, 0.92, facecolor="none", edgecolor=colours.ink, linewidth=1.5))
            axes.add_patch(Rectangle((column - 0.41, row - 0.36), 0.82, 0.72, facecolor=fill, linewidth=0))
        else:
            axes.add_patch(Rectangle(corner, 0.94, 0.92, facecolor=fill, linewidth=0))
        ink = colours.muted if pale else colours.on_ramp(int(step))
        text, weight = above(float(values[row, column]), least), "bold" if picked else "normal"
        axes.text(column, row, text, ha="center", va="center_baseline", fontsize=size, color=ink, fontweight=weight)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xticks(range(columns), [f"{p:g}" for p in ps])
    axes.set_yticks(range(rows), [f"{lr:g}" for lr in lrs])
    axes.tick_params(labelsize=8.4)
    keys: list[Artist] = [Patch(facecolor="none", edgecolor=colours.ink, linewidth=1.5, label="chosen")]
    if left.any():
        keys.append(Patch(facecolor="none", edgecolor=colours.rule, linewidth=0.8, label="left early"))
    if np.isnan(values).any():
        keys.append(Patch(facecolor="none", edgecolor=colours.rule, hatch="////", linewidth=0, label="never run"))
    legend(figure, keys, colours)
