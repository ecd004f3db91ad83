"""Learning curves by step, noise off: training and validation, without dropout beside the best p."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from thinned.study.report.picture import Missing, Picture, dress, legend
from thinned.study.report.records import Records
from thinned.study.report.series import best_states, curve, excess
from thinned.study.report.theme import Colours
from thinned.study.report.units import GLUE, Units, at, nats

Measure = Literal["error", "nll"]
NAMES = {"error": "learning-curves", "nll": "nll-curves"}
DASHED = (0, (3, 1.5))
TURN = 0.02  # a rise of the validation curve above its lowest value that is worth a word


@dataclass(frozen=True)
class CurvesOfLevel:
    """One p's curves in one measure."""

    p: float
    frame: pd.DataFrame
    best: pd.DataFrame  # the kept state of each run
    excess: NDArray[np.float64]  # validation minus training at the kept state, one a run
    measure: Measure
    units: Units

    @property
    def factor(self) -> float:
        return self.units.factor if self.measure == "error" else 1.0

    def values(self, part: str, end: str = "mean") -> NDArray[np.float64]:
        """The curve of `part` ("train" or "val") as it stands on the axis."""
        return self.factor * self.frame[f"{part}_{self.measure}_{end}"].to_numpy(float)

    @property
    def words(self) -> str:
        """The mean excess over runs, with points or nats."""
        mean = float(self.excess.mean())
        return self.units.size(mean) if self.measure == "error" else f"{nats(mean)}{GLUE}nats"


def arms(records: Records, units: Units, measure: Measure) -> list[CurvesOfLevel]:
    """The arm at p = 0 and the one that stands for dropout; those without a curve yet are left out."""
    found = [
        CurvesOfLevel(
            level.p,
            curve(records, level),
            best_states(records, level),
            excess(records, level, measure),
            measure,
            units,
        )
        for level in (records.study.plain, records.study.noisy)
        if level
    ]
    return [arm for arm in found if len(arm.frame)]


def picture(records: Records, units: Units, measure: Measure) -> Picture | Missing:
    """Learning curves in error or in NLL; `units` are the error's."""
    shown = arms(records, units, measure)
    if not shown:
        title = "Learning curves" if measure == "error" else "Learning curves in NLL"
        return Missing(NAMES[measure], title, "no learning rate has been chosen yet, so no curve stands for its p.")
    runs = max(len(arm.excess) for arm in shown)
    band = f"lines are means over {runs} seeds, bands reach from the lowest to the highest" if runs > 1 else "one seed"
    return Picture(
        name=NAMES[measure],
        title=excess_finding(shown) if measure == "error" else turn_finding(shown),
        caption="How to read it: validation (solid) and training rows (dashed), dropout off for both, by optimiser "
        f"steps on a log axis; {band}. A dot is the state that a seed keeps: the one with the least validation loss. "
        f"A run that has ended stays at its last value.{_cut(shown)}",
        alt=f"Training and validation {'error' if measure == 'error' else 'NLL'} by step. "
        + " ".join(_ends(arm) for arm in shown),
        draw=partial(_draw, shown=shown),
    )


def ceiling(shown: list[CurvesOfLevel]) -> float:
    """Where the axis ends: above every kept state and the last third of each curve; the first steps may lie higher."""
    tops = [arm.values(part)[2 * len(arm.frame) // 3 :] for arm in shown for part in ("val", "train")]
    tops += [arm.factor * arm.best[f"val_{arm.measure}"].to_numpy(float) for arm in shown]
    values = np.concatenate(tops)
    values = values[np.isfinite(values)]
    return float(1.4 * values.max()) if values.size and values.max() > 0 else 1.0


def panel(axes: Axes, arm: CurvesOfLevel, colours: Colours) -> None:
    """One arm: two curves, their bands, the kept states."""
    colour = colours.noisy if arm.p > 0 else colours.plain
    steps = arm.frame.index.to_numpy(float)
    for part, style in (("train", DASHED), ("val", "-")):
        if len(arm.excess) > 1:
            axes.fill_between(
                steps, arm.values(part, "low"), arm.values(part, "high"), color=colour, alpha=0.16, linewidth=0
            )
        axes.plot(steps, arm.values(part), color=colour, linestyle=style, linewidth=1.8)
    heights = arm.factor * arm.best[f"val_{arm.measure}"].to_numpy(float)
    axes.plot(arm.best["step"], heights, "o", color=colours.ink, markersize=3.6, markeredgewidth=0, alpha=0.75)
    axes.set_title(f"{at(arm.p)}", color=colour, fontweight="bold", loc="left", pad=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def keys(colours: Colours) -> list[Artist]:
    """The line styles, which hold for every panel."""
    return [
        Line2D([], [], color=colours.muted, linewidth=1.8, label="validation"),
        Line2D([], [], color=colours.muted, linewidth=1.8, linestyle=DASHED, label="training"),
        Line2D([], [], color=colours.ink, linestyle="", marker="o", markersize=4, mew=0, label="state kept"),
    ]


def _draw(figure: FigureBase, colours: Colours, *, shown: list[CurvesOfLevel]) -> None:
    plots = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    measure, units = shown[0].measure, shown[0].units
    label = f"{units.bare} {units.axis}" if measure == "error" else "NLL (nats a row)"
    for column, (axes, arm) in enumerate(zip(plots, shown, strict=True)):
        dress(axes, colours, x="step", y="" if column else label)
        panel(axes, arm, colours)
    plots[0].set_ylim(0 if measure == "error" else None, ceiling(shown))
    legend(figure, keys(colours), colours)


def excess_finding(shown: list[CurvesOfLevel]) -> str:
    """A change is claimed only where no seed of one arm lies among the other's."""
    first, last = shown[0], shown[-1]
    if len(shown) == 1:
        return f"Validation minus training error is {first.words} at {at(first.p)}, in the state kept"
    if len(first.excess) > 1 and len(last.excess) > 1 and first.words != last.words:
        if last.excess.max() < first.excess.min():
            return f"Dropout narrows validation minus training error from {first.words} to {last.words}"
        if last.excess.min() > first.excess.max():
            return f"Dropout widens validation minus training error from {first.words} to {last.words}"
    return f"Validation minus training error, in the state kept: {first.words} without dropout, {last.words} with it"


def turn_finding(shown: list[CurvesOfLevel]) -> str:
    """Overfitting shows in NLL as a validation curve that turns up again, by more than 2 % of its lowest value."""
    turned, flat = [], []
    for arm in shown:
        values = arm.values("val")
        lowest = int(np.argmin(values))
        if values[-1] - values[lowest] > TURN * abs(values[lowest]):
            turned.append(f"after step {arm.frame.index[lowest]:,} at {at(arm.p)}")
        else:
            flat.append(at(arm.p))
    if not turned:
        return f"Mean validation NLL ends within 2{GLUE}% of its lowest, at {' and '.join(flat)}"
    rest = f", not at {flat[0]}" if flat else ""
    return f"Mean validation NLL rises again {' and '.join(turned)}{rest}"


def _cut(shown: list[CurvesOfLevel]) -> str:
    highest = max(float(arm.values(part, "high").max()) for arm in shown for part in ("val", "train"))
    return " What is higher lies above the plot." if highest > ceiling(shown) else ""


def _ends(arm: CurvesOfLevel) -> str:
    write = arm.units.value if arm.measure == "error" else nats
    last = arm.frame.iloc[-1]
    train, val = (float(last[f"{part}_{arm.measure}_mean"]) for part in ("train", "val"))
    return f"At {at(arm.p)} they end at {write(train)} and {write(val)}."
