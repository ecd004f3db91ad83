"""The learning-rate range test (Smith 2017): training loss while the rate rises, and the rates that were then tried."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from thinned.study.report.picture import Missing, Picture, dress, legend
from thinned.study.report.records import Records
from thinned.study.report.theme import Colours

NAME = "range-test"


def picture(records: Records) -> Picture | Missing:
    """The range test's curve, the rates tried, and where it diverges."""
    title = "Learning-rate range test"
    if records.range_test.empty:
        return Missing(NAME, title, "no range test was made (range.csv is empty).")
    if not np.isfinite(records.range_test["loss"]).any():
        return Missing(NAME, title, "its losses are no numbers at any learning rate.")
    frame = records.range_test.sort_values("lr")
    ends = f"{frame['lr'].iloc[0]:.3g} to {frame['lr'].iloc[-1]:.3g}"
    return Picture(
        name=NAME,
        title=finding(records),
        caption="How to read it: one training at p = 0 whose learning rate rises step by step; the line is its "
        "smoothed training loss. Ticks at the foot are the rates that the study then tried on validation rows.",
        alt=f"Training loss by learning rate from {ends}. {finding(records)}.",
        draw=partial(_draw, records=records),
    )


def finding(records: Records) -> str:
    """Where training diverges, and what was tried."""
    study = records.study
    tried = f"{study.lrs[0]:g} to {study.lrs[-1]:g} were tried" if len(study.lrs) > 1 else f"{study.lrs[0]:g} was used"
    if study.diverges_at is None:
        top = records.range_test["lr"].max()
        return f"Training does not diverge up to a learning rate of {top:.3g}; {tried}"
    return f"Training diverges from a learning rate of {study.diverges_at:.3g} on; {tried}"


def _draw(figure: FigureBase, colours: Colours, *, records: Records) -> None:
    axes = figure.subplots()
    dress(axes, colours, x="learning rate", y="training loss, smoothed")
    frame = records.range_test.sort_values("lr")
    frame = frame[np.isfinite(frame["loss"])]
    losses = frame["loss"].to_numpy(float)
    low, start = float(losses.min()), float(losses[0])
    top = max(start, float(np.median(losses)))
    axes.plot(frame["lr"], losses, color=colours.plain, linewidth=1.8)
    height = 1.3 * (top - low) or 1.0
    axes.set_ylim(low - 0.15 * height, low + height)  # what diverges leaves the plot
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    foot = axes.get_xaxis_transform()
    axes.plot(
        records.study.lrs, [0.03] * len(records.study.lrs), "|", color=colours.ink, ms=10, mew=1.6, transform=foot
    )
    handles = [
        Line2D([], [], color=colours.plain, linewidth=1.8, label="loss"),
        Line2D([], [], color=colours.ink, linestyle="", marker="|", ms=9, mew=1.6, label="rates tried"),
    ]
    if records.study.diverges_at is not None:
        axes.axvline(records.study.diverges_at, color=colours.bad, linestyle=(0, (4, 2)), linewidth=1.3)
        handles.append(Line2D([], [], color=colours.bad, linestyle=(0, (4, 2)), linewidth=1.3, label="diverges"))
    legend(figure, handles, colours)
