"""Learning curves, noise off: training and validation, without dropout beside the best p, the gap between shaded."""

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
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from thinned.study.report.picture import Missing, Picture, dress, legend
from thinned.study.report.records import Records
from thinned.study.report.series import curve, gaps
from thinned.study.report.theme import Colours
from thinned.study.report.units import Units, at, nats

Measure = Literal["error", "nll"]
NAMES = {"error": "learning-curves", "nll": "nll-curves"}
DASHED = (0, (3, 1.5))


@dataclass(frozen=True)
class Arm:
    """One p's curves in one measure."""

    p: float
    frame: pd.DataFrame
    gaps: NDArray[np.float64]  # a seed each, at its last epoch
    measure: Measure
    units: Units

    def values(self, part: str, end: str = "mean") -> NDArray[np.float64]:
        """The curve of `part` ("train" or "val") as it stands on the axis."""
        factor = self.units.factor if self.measure == "error" else 1.0
        return factor * self.frame[f"{part}_{self.measure}_{end}"].to_numpy(float)

    @property
    def gap(self) -> str:
        """The mean gap over seeds, in words."""
        mean = float(self.gaps.mean())
        return self.units.gap(mean) if self.measure == "error" else f"{nats(mean)}\N{NO-BREAK SPACE}nats"


def arms(records: Records, units: Units, measure: Measure) -> list[Arm]:
    """The arm at p = 0 and the one that stands for dropout; those without a curve yet are left out."""
    levels = [level for level in (records.plain, records.noisy) if level]
    found = [Arm(x.p, curve(records, x), gaps(records, x, measure), measure, units) for x in levels]
    return [arm for arm in found if len(arm.frame)]


def picture(records: Records, units: Units, measure: Measure) -> Picture | Missing:
    """Learning curves in error or in NLL."""
    shown = arms(records, units, measure)
    if not shown:
        title = "Learning curves" if measure == "error" else "Learning curves in NLL"
        return Missing(NAMES[measure], title, "no learning rate has been chosen yet, so no curve stands for its p.")
    runs = max(len(arm.gaps) for arm in shown)
    band = f"lines are means over {runs} seeds, bands reach from the lowest to the highest" if runs > 1 else "one seed"
    what = f"{units.name} {units.axis}" if measure == "error" else "negative log-likelihood (nats a row)"
    return Picture(
        name=NAMES[measure],
        title=_gap_finding(shown) if measure == "error" else _turn_finding(shown),
        caption="How to read it: the shaded gap between validation (solid) and training (dashed) is overfitting; "
        f"dropout is switched off for both; {band}.{_cut(shown)}",
        alt=f"Training and validation {what} by epoch. " + " ".join(_ends(arm) for arm in shown),
        draw=partial(_draw, shown=shown),
    )


def ceiling(shown: list[Arm]) -> float:
    """Where the axis ends: above everything but the first tenth of the epochs, which would flatten the rest."""
    tails = [arm.values(part, "high")[len(arm.frame) // 10 :] for arm in shown for part in ("val", "train")]
    values = np.concatenate(tails)
    values = values[np.isfinite(values)]
    return float(1.08 * values.max()) if values.size and values.max() > 0 else 1.0


def panel(axes: Axes, arm: Arm, colours: Colours) -> None:
    """One arm: two curves, their bands, and the gap with its size in the panel's heading."""
    colour = colours.noisy if arm.p > 0 else colours.plain
    epochs = arm.frame.index.to_numpy(float)
    axes.fill_between(epochs, arm.values("train"), arm.values("val"), color=colour, alpha=0.16, linewidth=0)
    for part, style in (("train", DASHED), ("val", "-")):
        if len(arm.gaps) > 1:
            axes.fill_between(
                epochs, arm.values(part, "low"), arm.values(part, "high"), color=colour, alpha=0.22, linewidth=0
            )
        marker = "o" if len(epochs) == 1 else ""
        axes.plot(epochs, arm.values(part), color=colour, linestyle=style, linewidth=1.8, marker=marker)
    # a target's name can be too long for half a figure; the axis has it
    size = arm.gap if arm.units.percent or arm.measure == "nll" else arm.units.number(float(arm.gaps.mean()))
    heading = f"{at(arm.p)}\ngap {size}"
    axes.set_title(heading, color=colour, fontweight="bold", loc="left", pad=8)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def keys(colours: Colours) -> list[Artist]:
    """The line styles, which hold for every panel."""
    return [
        Line2D([], [], color=colours.muted, linewidth=1.8, label="validation"),
        Line2D([], [], color=colours.muted, linewidth=1.8, linestyle=DASHED, label="training"),
        Patch(color=colours.muted, alpha=0.3, linewidth=0, label="gap"),
    ]


def _draw(figure: FigureBase, colours: Colours, *, shown: list[Arm]) -> None:
    plots = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    measure, units = shown[0].measure, shown[0].units
    label = f"{units.name} {units.axis}" if measure == "error" else "NLL (nats a row)"
    for column, (axes, arm) in enumerate(zip(plots, shown, strict=True)):
        dress(axes, colours, x="epoch", y="" if column else label)
        panel(axes, arm, colours)
    plots[0].set_ylim(0 if measure == "error" else None, ceiling(shown))
    legend(figure, keys(colours), colours)


def _gap_finding(shown: list[Arm]) -> str:
    """A change is claimed only where no seed of one arm lies among the other's."""
    first, last = shown[0], shown[-1]
    if len(shown) == 1:
        return f"At {at(first.p)} the overfitting gap ends at {first.gap}"
    before = first.units.number(float(first.gaps.mean()))
    if len(first.gaps) > 1 and len(last.gaps) > 1:
        if last.gaps.max() < first.gaps.min():
            return f"Dropout narrows the overfitting gap from {before} to {last.gap}"
        if last.gaps.min() > first.gaps.max():
            return f"Dropout widens the overfitting gap from {before} to {last.gap}"
    return f"The overfitting gap ends at {first.gap} without dropout and {last.gap} with it"


def _turn_finding(shown: list[Arm]) -> str:
    """Overfitting shows in NLL as a validation curve that turns up again, by more than 2 % of its lowest value."""
    turned = []
    for arm in shown:
        values = arm.values("val")
        lowest = int(np.argmin(values))
        if values[-1] - values[lowest] > 0.02 * abs(values[lowest]):
            turned.append(f"after epoch {arm.frame.index[lowest]} at {at(arm.p)}")
    if turned:
        return f"Validation NLL rises again {' and '.join(turned)}"
    return "Validation NLL does not turn up again" + (", with or without dropout" if len(shown) == 2 else "")


def _cut(shown: list[Arm]) -> str:
    highest = max(float(arm.values(part).max()) for arm in shown for part in ("val", "train"))
    return " The first epochs lie above the plot." if highest > ceiling(shown) else ""


def _ends(arm: Arm) -> str:
    train, val = (arm.units.error, arm.units.error) if arm.measure == "error" else (nats, nats)
    last = arm.frame.iloc[-1]
    return (
        f"At {at(arm.p)} they end at {train(float(last[f'train_{arm.measure}_mean']))} and "
        f"{val(float(last[f'val_{arm.measure}_mean']))}."
    )
