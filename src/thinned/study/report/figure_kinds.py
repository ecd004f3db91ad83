"""A kind's p and the figure that decides: the sets of rates in which that kind moves alone, and those that move all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from statistics import median

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from thinned.study.answer.speech import capital, listed
from thinned.study.report.picture import Missing, Picture, dress, legend
from thinned.study.report.theme import Colours
from thinned.study.report.tuning_facts import KindCurve, Role, TriedRates, TunedKind, TuningFacts
from thinned.study.report.units import at, plain

LOOK: dict[Role, tuple[str, str, str]] = {  # colour, marker, words
    "kind": ("noisy", "o", "this kind alone"),
    "zero": ("plain", "s", "p = 0 everywhere"),
    "was": ("decay", "D", "as they were"),
    "planned": ("other", "P", "as the plan has it"),
    "multiplied": ("other", "^", "all times a number"),
}
FAR = 6.0  # a mean further from the best than so many times the median's distance lies outside the plot


def pictures(facts: TuningFacts) -> list[Picture | Missing]:
    """A picture for each kind."""
    return [_picture(facts, kind, f"kind-{number + 1}") for number, kind in enumerate(facts.kinds)]


def _picture(facts: TuningFacts, kind: TunedKind, name: str) -> Picture | Missing:
    title = capital(kind.name)
    if not kind.curves or not any(facts.tried[n].figure is not None for n in kind.curves[0].tried):
        return Missing(name, f"{title} against p", "this kind was never moved alone, or all such trainings failed.")
    low, high = limits(facts)
    beyond = [
        f"{item.name} ({plain(value, f'{value:.4g}')})"
        for item in _shown(facts, kind)
        if (value := item.figure) is not None and not low <= value <= high
    ]
    points = "; ".join(
        f"{at(item.levels[kind.name])}: {plain(item.figure, f'{item.figure:.4g}')}"
        for item in (facts.tried[n] for n in kind.curves[0].tried)
        if item.figure is not None
    )
    return Picture(
        name=name,
        title=f"{title}: {finding(facts, kind)}",
        caption=" ".join([_reading(facts, kind), *_lost(_shown(facts, kind)), *_beyond(beyond)]),
        alt=f"{facts.metric} by p of {kind.name}. {points}.",
        draw=partial(_draw, facts=facts, kind=kind),
    )


def finding(facts: TuningFacts, kind: TunedKind) -> str:
    """Where the curve's best mean lies, and whether the seeds agree on it against p = 0 of that curve."""
    shown = [item for n in kind.curves[0].tried if (item := facts.tried[n]).figure is not None]
    figures = {item.levels[kind.name]: item for item in shown}
    extreme = "least" if facts.lower else "greatest"
    best = _best(facts, shown)
    p = best.levels[kind.name]
    if len({item.figure for item in shown}) == 1:
        return f"{facts.metric} is the same at every p tried" if len(shown) > 1 else f"one p has a {facts.metric}"
    said = f"{facts.metric} is {extreme} at {at(p)}"
    if p == 0 or 0.0 not in figures:
        return said
    gaps = [
        (theirs.figures[facts.metric] - ours.figures[facts.metric]) * (1 if facts.lower else -1)
        for ours, theirs in zip(best.runs[: facts.common], figures[0.0].runs[: facts.common], strict=True)
    ]
    won = sum(gap > 0 for gap in gaps)
    seeds = "both seeds" if won == len(gaps) == 2 else f"{won} of {len(gaps)} seeds"
    return f"{said}; {facts.better} than at {at(0)} in {seeds}"


def limits(facts: TuningFacts) -> tuple[float, float]:
    """The axis of the figure that decides. It holds all means but those that are out of all proportion."""
    means = [item.figure for item in facts.tried if item.figure is not None]
    sign = 1.0 if facts.lower else -1.0
    losses = sorted(sign * mean for mean in means)
    farthest = losses[0] + (FAR * (median(losses) - losses[0]) or math.inf)
    worst = max(loss for loss in losses if loss <= farthest)
    seeds = [
        sign * run.figures[facts.metric]
        for item in facts.tried
        if item.figure is not None and sign * item.figure <= worst
        for run in item.runs
        if run.trained
    ]
    low, high = min(losses[0], *seeds), min(max(worst, *seeds), farthest)
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    ends = sign * (low - margin), sign * (high + margin)
    return min(ends), max(ends)


def _best(facts: TuningFacts, shown: Sequence[TriedRates]) -> TriedRates:
    sign = 1.0 if facts.lower else -1.0
    return min(shown, key=lambda item: (sign * (item.figure or 0.0), sum(item.levels.values())))


def _reading(facts: TuningFacts, kind: TunedKind) -> str:
    main, *rest = kind.curves
    told = (
        f"How to read it: {facts.better} is better. Small dots are seeds, the line joins means over the "
        f"{facts.common} seeds that all rates have; open dots are further seeds of the best. "
    )
    if main.others:
        told += f"Along the line {kind.name} moves alone, with {_others(main)}"
        told += (
            f"; along the dashed one{'s' * (len(rest) > 1)}, with {' or '.join(map(_others, rest))}. " if rest else ". "
        )
    marks = {item.role for item in facts.tried} - {"kind"}
    if marks and main.others:
        told += "Marks off the line move every kind at once."
    highest = max(item.levels[kind.name] for n in main.tried if (item := facts.tried[n]).figure is not None)
    best = _best(facts, [item for n in main.tried if (item := facts.tried[n]).figure is not None])
    if 0 < highest == best.levels[kind.name]:
        told += " The best is the largest p tried: a larger one may be better still."
    return told.strip()


def _others(curve: KindCurve) -> str:
    return listed([f"{name} at {p:g}" for name, p in curve.others.items()])


def _shown(facts: TuningFacts, kind: TunedKind) -> list[TriedRates]:
    """What the plot has: all on a curve, and the rates that move every kind."""
    on_curves = {n for curve in kind.curves for n in curve.tried}
    return [item for n, item in enumerate(facts.tried) if n in on_curves or item.role != "kind"]


def _lost(shown: Sequence[TriedRates]) -> list[str]:
    lost = [f"{item.name} {item.note}" for item in shown if item.figure is None and item.note]
    return [f"Crosses were not trained to the end: {'; '.join(lost)}."] if lost else []


def _beyond(names: Sequence[str]) -> list[str]:
    return [f"Outside the plot: {listed(names)}."] if names else []


def _draw(figure: FigureBase, colours: Colours, *, facts: TuningFacts, kind: TunedKind) -> None:
    axes = figure.subplots()
    dress(axes, colours, x=f"p of {kind.name}", y=facts.metric)
    low, high = limits(facts)
    for number, curve in enumerate(kind.curves):
        across = [facts.tried[n].levels[kind.name] for n in curve.tried]
        means = [math.nan if (mean := facts.tried[n].figure) is None else mean for n in curve.tried]
        style = "-" if number == 0 else (0, (4, 2))
        axes.plot(across, means, color=colours.noisy if number == 0 else colours.muted, lw=1.5, linestyle=style)
    shown = _shown(facts, kind)
    for item in shown:
        _marks(axes, facts, item, item.levels[kind.name], colours)
    axes.set_ylim(low, high)
    axes.set_xlim(-0.04, max(0.3, *(item.levels[kind.name] for item in shown)) + 0.05)
    legend(figure, _keys(facts, shown, colours), colours, columns=2)


def _marks(axes: Axes, facts: TuningFacts, item: TriedRates, p: float, colours: Colours) -> None:
    name, marker, _ = LOOK[item.role]
    colour = getattr(colours, name)
    for number, run in enumerate(item.runs):
        if run.trained:
            face = colour if number < facts.common else "none"
            axes.plot(p, run.figures[facts.metric], "o", ms=3.4, mfc=face, mec=colour, mew=0.8, alpha=0.6)
    edge = 0.97 if facts.lower else 0.03
    if item.figure is None:
        axes.plot(p, edge, "x", color=colours.bad, ms=7, mew=2, transform=axes.get_xaxis_transform(), clip_on=False)
    else:
        axes.plot(p, item.figure, marker, color=colour, ms=6.5, mew=0)


def _keys(facts: TuningFacts, shown: Sequence[TriedRates], colours: Colours) -> list[Artist]:
    roles = {item.role for item in shown if item.figure is not None}
    found: list[Artist] = [
        Line2D([], [], linestyle="", marker=marker, ms=6.5, mew=0, color=getattr(colours, colour), label=words)
        for role, (colour, marker, words) in LOOK.items()
        if role in roles
    ]
    if any(item.figure is None for item in shown):
        found.append(Line2D([], [], linestyle="", marker="x", ms=7, mew=2, color=colours.bad, label="failed, diverged"))
    return found
