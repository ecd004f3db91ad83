"""How busy the hidden layer is: with and without dropout, at inference (compare Srivastava et al. 2014, figure 8)."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.ticker import PercentFormatter

from thinned.study.report.picture import Missing, Picture, dress
from thinned.study.report.records import Activations
from thinned.study.report.series import active, unit_means
from thinned.study.report.theme import Colours
from thinned.study.report.units import at, percent

NAME = "activity"


def picture(activations: Activations | None) -> Picture | Missing:
    """The share of active units and the distribution of mean activations."""
    if activations is None:
        title = "Hidden activity with and without dropout"
        return Missing(NAME, title, "the study kept no activations (activations.npz is not in the folder).")
    plain, noisy = (percent(active(array)) for array in (activations.plain, activations.whole))
    means = [f"{float(array.mean()):.3g}" for array in (activations.plain, activations.whole)]
    rows = len(activations.plain)
    return Picture(
        name=NAME,
        title=f"{noisy} of hidden units are active with dropout, {plain} without",
        caption="How to read it: left, how many units of a hidden layer are above zero for a test row; right, "
        f"how strongly each unit fires, averaged over {rows} test rows, strongest first. "
        "Dropout is switched off for both networks.",
        alt=f"Active share: {plain} at p = 0 and {noisy} at {at(activations.p)}. "
        f"Mean activation: {means[0]} at p = 0 and {means[1]} at {at(activations.p)}.",
        draw=partial(_draw, activations=activations),
    )


def _draw(figure: FigureBase, colours: Colours, *, activations: Activations) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.7))
    dress(left, colours, y="units active (% of layer)")
    dress(right, colours, x="units, busiest first (% of layer)", y="mean activation")
    names = [at(0), at(activations.p)]
    arrays = [activations.plain, activations.whole]
    hues = [colours.plain, colours.noisy]
    for place, (array, hue) in enumerate(zip(arrays, hues, strict=True)):
        share = active(array)
        left.bar(place, share, width=0.62, color=hue)
        left.annotate(
            percent(share), (place, share), xytext=(0, 2), textcoords="offset points", ha="center", color=colours.ink
        )
    left.set_xticks([0, 1], names)
    left.set_xlim(-0.6, 1.6)
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    left.margins(y=0.12)
    for array, hue, name, style in zip(arrays, hues, names, ["--", "-"], strict=True):
        means = np.sort(unit_means(array))[::-1]
        rank = (np.arange(len(means)) + 0.5) / len(means)
        right.fill_between(rank, means, color=hue, alpha=0.14, linewidth=0)
        right.plot(rank, means, color=hue, linewidth=1.8, linestyle=style, label=name)
    right.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    right.set_xlim(0, 1)
    right.set_ylim(bottom=0)
    right.legend(frameon=False, labelcolor=colours.ink, loc="upper right", handlelength=1.6)
