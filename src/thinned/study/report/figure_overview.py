"""The study in one wide picture, for a README or a slide: the overfitting gap, and the test error against p."""

from __future__ import annotations

from functools import partial

from matplotlib.figure import FigureBase

from thinned.study.report import figure_learning, figure_level
from thinned.study.report.picture import Missing, Picture, dress, legend
from thinned.study.report.records import Records
from thinned.study.report.series import levels
from thinned.study.report.theme import Colours
from thinned.study.report.units import Units

NAME = "overview"


def picture(records: Records, metric: Units, error: Units) -> Picture | Missing:
    """The overview, headed by the study's title and what the figure of the deciding metric found."""
    if not figure_learning.arms(records, error, "error") or not levels(records):
        return Missing(NAME, "Overview", "no p has been trained at every learning rate yet.")
    words = f"Learning curves by step, and the {metric.title} against p."
    return Picture(
        name=NAME,
        title=f"{records.study.title}: {figure_level.finding(records, metric, metric.title)}",
        caption=words,
        alt=words,
        draw=partial(_draw, records=records, metric=metric, error=error),
        size=(9.6, 3.5),
    )


def _draw(figure: FigureBase, colours: Colours, *, records: Records, metric: Units, error: Units) -> None:
    arms = figure_learning.arms(records, error, "error")
    *curves, by_p = figure.subplots(1, len(arms) + 1, width_ratios=[1.0] * len(arms) + [1.8])
    for column, (axes, arm) in enumerate(zip(curves, arms, strict=True)):
        dress(axes, colours, x="step", y="" if column else f"{error.bare} {error.axis}")
        figure_learning.panel(axes, arm, colours)
        axes.set_ylim(0, figure_learning.ceiling(arms))
        if column:
            axes.tick_params(labelleft=False)
    dress(by_p, colours, x="dropout probability p", y=f"{metric.title} {metric.axis}")
    figure_level.panel(by_p, records, metric, colours)
    bars = any(level.metric.low < level.metric.high for level in records.study.levels)
    spread = "means and 95 % intervals" if bars else "means"
    by_p.set_title(f"{metric.title} by p, {spread}", color=colours.ink, loc="left", pad=8)
    legend(figure, [*figure_learning.keys(colours), *figure_level.keys(records, colours)], colours, columns=9)
