"""The deciding metric against p: means with their intervals; decay, both, inputs and other kinds of model beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from thinned.study.answer.speech import name
from thinned.study.record import BaselineResult, LevelResult
from thinned.study.report.picture import Missing, Picture, dress, legend
from thinned.study.report.records import Records
from thinned.study.report.series import levels, places
from thinned.study.report.theme import Colours
from thinned.study.report.units import Units, at

NAME = "error-by-p"
STYLES = {"constant": (0, (1, 1.5)), "linear": (0, (3, 1.5, 1, 1.5)), "tree": (0, (6, 2))}
MARKERS = {"both": "s", "input": "D"}


def picture(records: Records, units: Units) -> Picture | Missing:
    """The deciding metric on the test rows against p."""
    shown = levels(records)
    title = f"{units.title[:1].upper()}{units.title[1:]}"
    if not shown:
        return Missing(NAME, f"{title} against p", "no p has been trained at every learning rate yet.")
    points = "; ".join(f"{name(level)}: {units.value(level.metric.value)}" for level in records.study.levels)
    others = "".join(f" {item.title}: {units.value(item.metric.value)}." for item in records.study.baselines)
    beyond = [item for item in records.study.baselines if item not in within(records)]
    out = "".join(
        f" {item.title[:1].upper()}{item.title[1:]}, at {units.value(item.metric.value)}, lies outside the plot."
        for item in beyond
    )
    bars = any(level.metric.low < level.metric.high for level in shown)
    chosen = records.study.chosen
    taken = chosen is not None and chosen.arm == "decay"
    grey = " The grey line is weight decay alone{}.".format(", the network to take away" if taken else "")
    band = grey if records.arm("decay") else ""
    ring = "" if chosen is None or taken else "; the ring is the network to take away"
    return Picture(
        name=NAME,
        title=finding(records, units, title),
        caption=f"How to read it: lower is better. Dots are means over seeds{', bars 95 % intervals' if bars else ''}, "
        f"each at the learning rate chosen for its p{ring}. The steps of p are not to scale.{band} To compare two "
        f"settings see the table of differences: their seeds and rows are paired.{out}",
        alt=f"{title} by dropout probability. {points}.{others}",
        draw=partial(_draw, records=records, units=units),
    )


def finding(records: Records, units: Units, title: str) -> str:
    """What the paired difference between the best p and p = 0 says."""
    base, other = records.study.plain, records.study.noisy
    if base is None or other is None:
        only = levels(records)[0]
        return f"{title} at {at(only.p)}: {units.value(only.metric.value)}"
    before, after = units.value(base.metric.value), units.value(other.metric.value)
    pair = (name(other), name(base), records.study.metric)
    found = next((x for x in records.study.differences if (x.first, x.second, x.metric) == pair), None)
    if found is not None and found.high < 0 and before != after:
        return f"{title} falls from {before} at {at(0)} to {after} at {at(other.p)}"
    if found is not None and found.low > 0 and before != after:
        return f"{title} rises from {before} at {at(0)} to {after} at {at(other.p)}"
    clear = " shows no clear difference" if found is not None and found.low <= 0 <= found.high else ""
    return f"{title}{clear}: {before} at {at(0)}, {after} at {at(other.p)}"


def limits(records: Records) -> tuple[float, float]:
    """The axis: every level's interval, with room for a baseline half as far away as the levels are wide."""
    ends = [end for level in records.study.levels for end in (level.metric.low, level.metric.high, level.metric.value)]
    low, high = min(ends), max(ends)
    room = 0.8 * (high - low) or 0.1 * abs(high) or 1.0
    near = [item.metric.value for item in records.study.baselines if low - room <= item.metric.value <= high + room]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.07 * (high - low) or room
    return low - margin, high + margin


def within(records: Records) -> list[BaselineResult]:
    """The other kinds of model that the plot has room for."""
    low, high = limits(records)
    return [item for item in records.study.baselines if low <= item.metric.value <= high]


def panel(axes: Axes, records: Records, units: Units, colours: Colours) -> None:
    """The plot itself, also used in the overview."""
    place, shown, factor = places(records), levels(records), units.factor
    decay = records.arm("decay")
    for item in within(records):
        axes.axhline(factor * item.metric.value, color=colours.muted, linestyle=STYLES[item.name], linewidth=1.2)
    if decay:
        axes.axhspan(factor * decay.metric.low, factor * decay.metric.high, color=colours.decay, alpha=0.15, lw=0)
        axes.axhline(factor * decay.metric.value, color=colours.decay, linewidth=1.6)
    axes.plot([place[x.p] for x in shown], [factor * x.metric.value for x in shown], color=colours.noisy, lw=1.4)
    for level in shown:
        _mark(axes, level, place[level.p], factor, "o", colours.noisy if level.p > 0 else colours.plain)
    for arm, marker in MARKERS.items():
        other = records.arm(arm)
        if other:
            _mark(axes, other, _across(other, place), factor, marker, colours.other)
    chosen = records.study.chosen
    if chosen and chosen.arm != "decay":
        axes.plot(
            _across(chosen, place),
            factor * chosen.metric.value,
            "o",
            ms=13,
            markerfacecolor="none",
            markeredgecolor=colours.ink,
            markeredgewidth=1.3,
        )
    axes.set_xticks(list(place.values()), [f"{p:g}" for p in place])
    axes.tick_params(axis="x", labelsize=9 if len(place) < 9 else 8)
    axes.set_xlim(-0.4, max(place.values()) + 0.8)
    low, high = limits(records)
    axes.set_ylim(factor * low, factor * high)


def _across(level: LevelResult, place: Mapping[float, float]) -> float:
    """Where a level's mark stands: at its p, or beside it where something else was done as well."""
    beside = list(MARKERS).index(level.arm) if level.arm in MARKERS else None
    return place[level.p] + (0.0 if beside is None else 0.3 + 0.22 * beside)


def _mark(axes: Axes, level: LevelResult, place: float, factor: float, marker: str, colour: str) -> None:
    value, low, high = (factor * x for x in (level.metric.value, level.metric.low, level.metric.high))
    if low < high:
        axes.errorbar(place, value, [[value - low], [high - value]], fmt="none", color=colour, elinewidth=1.4)
    axes.plot(place, value, marker, color=colour, markersize=6, markeredgewidth=0)


def keys(records: Records, colours: Colours) -> list[Artist]:
    """What marks and lines mean."""
    found: list[Artist] = []
    for arm, marker in MARKERS.items():
        level = records.arm(arm)
        if level:
            label = f"decay {level.weight_decay:g} too" if arm == "both" else f"inputs {level.p_input:g} too"
            found.append(Line2D([], [], linestyle="", marker=marker, ms=6, color=colours.other, mew=0, label=label))
    decay = records.arm("decay")
    if decay:
        label = f"decay {decay.weight_decay:g}"
        found.append(Line2D([], [], color=colours.decay, linewidth=1.6, label=label))
    short = {"constant": "constant", "linear": "linear", "tree": "trees"}
    if records.study.next_word:
        short = {"constant": "unigram", "linear": "bigram"}
    found += [
        Line2D([], [], color=colours.muted, linestyle=STYLES[item.name], linewidth=1.2, label=short[item.name])
        for item in within(records)
    ]
    return found


def _draw(figure: FigureBase, colours: Colours, *, records: Records, units: Units) -> None:
    axes = figure.subplots()
    dress(axes, colours, x="dropout probability p", y=f"{units.title} {units.axis}")
    panel(axes, records, units, colours)
    legend(figure, keys(records, colours), colours, columns=3)
