"""Learning rate against p: the validation result of every pair that was tried, and the rate chosen for each p."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import FigureBase
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from thinned.study.report.picture import Missing, Picture, dress, legend
from thinned.study.report.records import Records
from thinned.study.report.series import grid
from thinned.study.report.theme import STEPS, Colours
from thinned.study.report.units import Units, at, nats

NAME = "lr-by-p"
NEVER, DIVERGED = -1, -2


def picture(records: Records, units: Units) -> Picture | Missing:
    """The map of learning rate against p."""
    table = grid(records)
    if table.isna().to_numpy().all():
        return Missing(NAME, "Learning rate against p", "no run has finished yet.")
    picks, codes = chosen(records), steps(table)
    # What choices went by: the squared error of the prediction, which for classes is the Brier score.
    what = "validation Brier score" if units.percent else f"validation mean squared error ({units.unit} squared)"
    show = nats if units.percent else units.number
    cells = "; ".join(
        f"{at(p)}, learning rate {lr:g}: {show(value)}" for lr, p, value in _cells(table) if not np.isnan(value)
    )
    never = " A hatched cell was never run." if (codes == NEVER).any() else ""
    diverged = " ∞: a run diverged." if (codes == DIVERGED).any() else ""
    return Picture(
        name=NAME,
        title=_finding(picks),
        caption=f"How to read it: a cell is the mean {what} of its runs; the more it stands out, the better. "
        f"The frame is the learning rate that validation chose for that p.{never}{diverged}",
        alt=f"{what} by learning rate and dropout probability. {cells}.",
        draw=partial(_draw, table=table, picks=picks, label=what, show=show),
        size=(4.3, max(1.9, 1.1 + 0.4 * len(table))),
    )


def chosen(records: Records) -> dict[float, float]:
    """The chosen learning rate by p."""
    return {level.p: level.lr for level in records.study.levels if level.arm == "dropout"}


def _cells(table: pd.DataFrame) -> Iterator[tuple[float, float, float]]:
    """Learning rate, p and value of every cell."""
    for row, lr in enumerate(table.index.to_numpy(float)):
        for column, p in enumerate(table.columns.to_numpy(float)):
            yield float(lr), float(p), float(table.to_numpy(float)[row, column])


def steps(table: pd.DataFrame) -> NDArray[np.int_]:
    """Each cell's step on the ramp: the last for the lowest value, the first at twice the median's distance from it.

    Whatever is worse shares the first step: one poor learning rate must not flatten all others. `NEVER` and `DIVERGED`
    mark the cells that have no value.
    """
    values = table.to_numpy(float)
    finite = values[np.isfinite(values)]
    lowest, middle = (float(finite.min()), float(np.median(finite))) if finite.size else (0.0, 1.0)
    distance = (np.where(np.isfinite(values), values, lowest) - lowest) / (2 * (middle - lowest) or 1.0)
    codes = np.rint((STEPS - 1) * (1 - distance.clip(0, 1))).astype(int)
    return np.where(np.isnan(values), NEVER, np.where(np.isinf(values), DIVERGED, codes))


def _finding(picks: dict[float, float]) -> str:
    ps = sorted(picks)
    rates = [picks[p] for p in ps]
    if not rates:
        return "Validation by learning rate and p"
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
    picks: dict[float, float],
    label: str,
    show: Callable[[float], str],
) -> None:
    axes = figure.subplots()
    dress(axes, colours, x="dropout probability p", y="learning rate")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    ps, lrs, values = table.columns.to_numpy(float), table.index.to_numpy(float), table.to_numpy(float)
    rows, columns = values.shape
    size = 9.0 if columns <= 7 else max(5.5, 62 / columns)
    for (row, column), step in np.ndenumerate(steps(table)):
        corner = (column - 0.47, row - 0.46)
        picked = picks.get(float(ps[column])) == float(lrs[row])
        if step == NEVER:
            axes.add_patch(Rectangle(corner, 0.94, 0.92, fc="none", ec=colours.rule, hatch="////", linewidth=0))
            continue
        fill = colours.ramp[step] if step >= 0 else "none"
        if picked:  # paper between frame and fill keeps the frame visible on every step, in dark and light
            axes.add_patch(Rectangle(corner, 0.94, 0.92, facecolor="none", edgecolor=colours.ink, linewidth=1.5))
            axes.add_patch(Rectangle((column - 0.41, row - 0.36), 0.82, 0.72, facecolor=fill, linewidth=0))
        else:
            axes.add_patch(Rectangle(corner, 0.94, 0.92, facecolor=fill, linewidth=0))
        text = show(float(values[row, column]))
        weight, ink = ("bold" if picked else "normal"), colours.on_ramp(int(step))
        axes.text(column, row, text, ha="center", va="center_baseline", fontsize=size, color=ink, fontweight=weight)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xticks(range(columns), [f"{p:g}" for p in ps])
    axes.set_yticks(range(rows), [f"{lr:g}" for lr in lrs])
    axes.tick_params(labelsize=max(size, 7))
    axes.set_title(label, color=colours.ink, loc="left")
    keys = [Patch(facecolor="none", edgecolor=colours.ink, linewidth=1.5, label="chosen")]
    if np.isnan(values).any():
        keys.append(Patch(facecolor="none", edgecolor=colours.rule, hatch="////", linewidth=0, label="never run"))
    legend(figure, keys, colours)
