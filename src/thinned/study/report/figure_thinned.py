"""The thinned network itself: one hidden layer, row by row, whole at inference and with units dropped in training."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from thinned.study.report.picture import Missing, Picture, dress, legend
from thinned.study.report.records import Activations
from thinned.study.report.series import unit_means
from thinned.study.report.theme import STEPS, Colours
from thinned.study.report.units import MINUS, at, percent

NAME = "thinned"
UNITS, ROWS = 48, 16  # what stays visible at a phone's width
ZERO, DROPPED = -1, -2
FAINTEST = 2  # the ramp's first steps are too near the paper to be told from zero


def picture(activations: Activations | None) -> Picture | Missing:
    """The activations with and without dropped units."""
    title = "Activations of dropped and kept units"
    if activations is None:
        return Missing(NAME, title, "the study kept no activations (activations.npz is not in the folder).")
    whole, thinned = codes(activations)
    rows, units = whole.shape
    share = float((~activations.mask).mean())
    return Picture(
        name=NAME,
        title=f"In training every row meets its own thinned network: {percent(share)} of units are dropped",
        caption=f"How to read it: the {units} busiest of {activations.whole.shape[1]} units of a hidden layer, "
        f"for {rows} test rows of the {at(activations.p)} network. A dropped unit is switched off by the noise; "
        f"a blank unit is zero by itself (ReLU). {_scaling(activations)}",
        alt=f"Two maps of {rows} test rows by {units} hidden units. Above, dropout off: {percent((whole >= 0).mean())} "
        f"of units are active. Below, dropout on: {percent((thinned == DROPPED).mean())} dropped, "
        f"{percent((thinned >= 0).mean())} active.",
        draw=partial(_draw, whole=whole, thinned=thinned, p=activations.p),
        size=(4.3, 3.9),
    )


def codes(activations: Activations) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """For each cell of the two maps: DROPPED, ZERO, or the step of the ramp that its activation falls on.

    Both maps share one scale, so that kept units show how far training scales them up.
    """
    busiest = busiest_units(activations)
    whole, thinned = (array[:ROWS, busiest] for array in (activations.whole, activations.thinned))
    kept = activations.mask[:ROWS, busiest]
    top = float(np.quantile(np.abs(thinned[thinned != 0]), 0.95)) if np.any(thinned) else 1.0

    def step(values: NDArray[np.float32]) -> NDArray[np.int_]:
        shade = FAINTEST + np.floor(np.abs(values) / top * (STEPS - FAINTEST)).astype(int)
        return np.where(values == 0, ZERO, shade.clip(FAINTEST, STEPS - 1))

    return step(whole), np.where(kept, step(thinned), DROPPED)


def busiest_units(activations: Activations) -> NDArray[np.int_]:
    """The units shown: the whole network's strongest on average. Many others are zero for every row."""
    return np.argsort(-unit_means(activations.whole), kind="stable")[:UNITS]


def _scaling(activations: Activations) -> str:
    """How kept units compare with the same units of the whole network, where the records show one factor."""
    kept = activations.mask & (activations.whole > 0)
    if not kept.any() or activations.p >= 1:
        return ""
    factor = 1 / (1 - activations.p)
    if np.allclose(activations.thinned[kept] / activations.whole[kept], factor, rtol=1e-3):
        return f"Kept units are scaled up by 1 / (1 {MINUS} p) = {factor:.3g}, so they stand out more than above."
    return ""


def _cells(where: NDArray[np.bool_]) -> Path:
    """One path for all cells of a colour; neighbours in a row are joined."""
    corners: list[tuple[float, float]] = []
    for row, line in enumerate(where):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            corners += [(left, row), (right, row), (right, row + 0.9), (left, row + 0.9), (left, row)]
    kinds = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * (len(corners) // 5)
    return Path(np.array(corners, float).reshape(-1, 2), kinds)


def _strip(axes: Axes, cells: NDArray[np.int_], colours: Colours) -> None:
    for code in np.unique(cells):
        if code != ZERO:
            colour = colours.dropped if code == DROPPED else colours.ramp[code]
            axes.add_patch(PathPatch(_cells(cells == code), facecolor=colour, linewidth=0))
    axes.set_xlim(0, cells.shape[1])
    axes.set_ylim(cells.shape[0], 0)


def _draw(
    figure: FigureBase, colours: Colours, *, whole: NDArray[np.int_], thinned: NDArray[np.int_], p: float
) -> None:
    above, below = figure.subplots(2, 1, sharex=True, sharey=True)
    dress(above, colours, y="test row")
    dress(below, colours, x="hidden unit, busiest first", y="test row")
    for axes, cells, title in (
        (above, whole, "whole network (inference)"),
        (below, thinned, f"thinned network (training, {at(p)})"),
    ):
        axes.grid(visible=False)
        _strip(axes, cells, colours)
        axes.set_title(title, color=colours.ink, loc="left", fontsize=10)
        axes.set_yticks([0.5, len(cells) - 0.5], ["1", str(len(cells))])
        count = cells.shape[1]
        axes.set_xticks([0.5, count - 0.5], ["1", str(count)])
        for spine in axes.spines.values():
            spine.set_visible(True)
    keys = [
        Patch(facecolor=colours.ramp[6], label="active"),
        Patch(facecolor="none", edgecolor=colours.rule, label="zero (ReLU)"),
        Patch(facecolor=colours.dropped, label="dropped"),
    ]
    legend(figure, keys, colours)
