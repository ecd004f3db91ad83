"""The three that are compared, on the seeds that judge: every training, joined by seed, and the paired differences."""

from __future__ import annotations

import textwrap
from functools import partial
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from thinned.study.answer.speech import capital, listed
from thinned.study.report.figure_kinds import LOOK
from thinned.study.report.picture import Picture, dress
from thinned.study.report.theme import Colours
from thinned.study.report.tuning_facts import JudgedRates, SeenDifference, TuningFacts
from thinned.study.report.units import plain

NAME = "rivals"


def picture(facts: TuningFacts) -> Picture:
    """Points joined by seed, and below them the differences with their intervals."""
    lost = [f"{item.title}: {_why(item)}" for item in facts.judged if not item.sound]
    means = "; ".join(
        f"{item.title}: {plain(mean, f'{mean:.4g}')}"
        for item in facts.judged
        if item.sound and (mean := _mean(facts, item)) is not None
    )
    caption = (
        f"How to read it: {facts.better} is better. A line is a seed, a bar the mean over seeds. No choice has seen "
        "these seeds."
    )
    if facts.differences:
        caption += (
            " Below: the mean difference within seeds and its 95 % interval; where that holds 0, no difference was "
            "seen. " + " ".join(capital(said(item)) for item in facts.differences)
        )
    if lost:
        caption += f" Crosses were not trained to the end, so these rates are not compared: {'; '.join(lost)}."
    return Picture(
        name=NAME,
        title=finding(facts),
        caption=caption,
        alt=f"{facts.judge}, means over seeds. {means}. {' '.join(map(said, facts.differences))}",
        draw=partial(_draw, facts=facts),
        size=(4.3, 3.0 + (0.7 + 0.42 * len(facts.differences) if facts.differences else 0.0)),
    )


def finding(facts: TuningFacts) -> str:
    """Who is better than whom."""
    if not facts.differences:
        return f"{capital(facts.judged[0].title)}: nothing to compare with"
    worse: dict[str, list[str]] = {}
    unseen = []
    for item in facts.differences:
        if item.verdict == "better":
            worse.setdefault(item.first, []).append(item.second)
        elif item.verdict == "worse":
            worse.setdefault(item.second, []).append(item.first)
        else:
            unseen.append(f"{item.first} and {item.second}")
    if not worse:
        unseen = [listed([item.title for item in facts.judged if item.sound])]
    parts = [f"{winner} is better than {listed(losers)}" for winner, losers in worse.items()]
    parts += [f"no difference was seen between {', or '.join(unseen)}"] if unseen else []
    return capital(f"{'; '.join(parts)}: {facts.judge}")


def said(item: SeenDifference) -> str:
    """
    >>> said(SeenDifference("tuned", "p = 0", -0.5, -0.6, -0.4, 5, "better")).replace("\\u2212", "-")
    'tuned against p = 0: -0.5 (-0.6 to -0.4) over 5 seeds: better.'
    """
    value, low, high = (plain(x, f"{x:+.4g}") for x in (item.value, item.low, item.high))
    return f"{item.first} against {item.second}: {value} ({low} to {high}) over {item.seeds} seeds: {item.verdict}."


def _why(item: JudgedRates) -> str:
    run = next(run for run in item.runs if not run.trained)
    return f"seed {run.seed} {run.ended}, {run.reason}"


def _mean(facts: TuningFacts, item: JudgedRates) -> float | None:
    found = [run.figures[facts.judge] for run in item.runs if run.trained]
    return fmean(found) if found else None


def _draw(figure: FigureBase, colours: Colours, *, facts: TuningFacts) -> None:
    if facts.differences:
        above, below = figure.subplots(2, 1, height_ratios=(2.6, 0.35 + 0.42 * len(facts.differences)))
        _intervals(below, facts, colours)
    else:
        above = figure.subplots()
    _pairs(above, facts, colours)


def _pairs(axes: Axes, facts: TuningFacts, colours: Colours) -> None:
    dress(axes, colours, y=facts.judge)
    sound = [number for number, item in enumerate(facts.judged) if item.sound]
    for seed in range(len(facts.judged[0].runs)):
        values = [facts.judged[number].runs[seed].figures[facts.judge] for number in sound]
        axes.plot(sound, values, color=colours.muted, lw=0.9, alpha=0.7)
    for number, item in enumerate(facts.judged):
        colour = getattr(colours, LOOK[item.role][0])
        values = [run.figures[facts.judge] for run in item.runs if run.trained]
        axes.plot([number] * len(values), values, LOOK[item.role][1], color=colour, ms=5, mew=0)
        if item.sound:
            axes.plot([number - 0.2, number + 0.2], [fmean(values)] * 2, color=colour, lw=2.6)
        else:
            edge = 0.97 if facts.lower else 0.03
            axes.plot(number, edge, "x", color=colours.bad, ms=8, mew=2, transform=axes.get_xaxis_transform())
    titles = [textwrap.fill(item.title, 16) for item in facts.judged]
    axes.set_xticks(range(len(titles)), titles)
    axes.tick_params(axis="x", colors=colours.ink)
    axes.set_xlim(-0.5, len(titles) - 0.5)
    axes.margins(y=0.1)


def _intervals(axes: Axes, facts: TuningFacts, colours: Colours) -> None:
    dress(axes, colours, x=f"difference in {facts.judge}")
    axes.grid(visible=False)
    axes.grid(axis="x", color=colours.rule, linewidth=0.6)
    axes.axvline(0, color=colours.muted, linewidth=0.9)
    for row, item in enumerate(facts.differences):
        colour = getattr(colours, item.colour)
        bars = [[max(item.value - item.low, 0.0)], [max(item.high - item.value, 0.0)]]
        axes.errorbar(item.value, row, xerr=bars, fmt="o", color=colour, ms=5, capsize=3, lw=1.6)
    axes.set_yticks(
        range(len(facts.differences)), [f"{item.first}\n\N{MINUS SIGN} ({item.second})" for item in facts.differences]
    )
    axes.set_ylim(len(facts.differences) - 0.5, -0.5)
    axes.tick_params(axis="y", colors=colours.ink)
    axes.locator_params(axis="x", nbins=4)
