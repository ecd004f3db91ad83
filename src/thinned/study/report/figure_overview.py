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


def picture(records: Records, units: Units, finding: str) -> Picture | Missing:
    """The overview, headed by the study's title and `finding`."""
    if not figure_learning.arms(records, units, "error") or levels(records).empty:
        return Missing(NAME, "Overview", "no p has been trained at every learning rate yet.")
    return Picture(
        name=NAME,
        title=f"{records.study.title}: {finding[:1].lower()}{finding[1:]}",
        caption="Learning curves with the overfitting gap, and the test error against p.",
        alt="Learning curves with the overfitting gap, and the test error against p.",
        draw=partial(_draw, records=records, units=units),
        size=(9.6, 3.5),
    )


def _draw(figure: FigureBase, colours: Colours, *, records: Records, units: Units) -> None:
    arms = figure_learning.arms(records, units, "error")
    *curves, by_p = figure.subplots(1, len(arms) + 1, width_ratios=[1.0] * len(arms) + [1.6])
    for column, (axes, arm) in enumerate(zip(curves, arms, strict=True)):
        dress(axes, colours, x="epoch", y="" if column else f"{units.name} {units.axis}")
        figure_learning.panel(axes, arm, colours)
        axes.set_ylim(0, figure_learning.ceiling(arms))
        if column:
            axes.tick_params(labelleft=False)
    dress(by_p, colours, x="dropout probability p", y=f"{records.study.metric} {units.axis}")
    figure_level.panel(by_p, records, units, colours, measure="error")
    spread = "every seed, mean and 95 % interval" if records.study.seeds > 1 else "one seed"
    by_p.set_title(f"{records.study.metric} by p\n{spread}", color=colours.ink, loc="left", pad=8)
    legend(figure, [*figure_learning.keys(colours), *figure_level.keys(records, colours)], colours)
