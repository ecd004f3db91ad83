"""A chapter's figure, from its record: points with intervals, lines, or a heat map with its ridge."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator

from thinned.study.record import ChapterFigure, ChapterMap, ChapterRecord, ChapterSeries
from thinned.study.report.picture import Picture, dress, legend
from thinned.study.report.theme import STEPS, Colours
from thinned.study.report.units import plain

MARKERS = {"plain": "s", "noisy": "o", "decay": "D", "other": "^"}
LINES: dict[str, Any] = {"plain": (0, (4, 1.5)), "noisy": "-", "decay": (0, (1, 1.5)), "other": (0, (6, 1.5, 1, 1.5))}
NAMED_HIGH = 0.36  # inches a named place
ACROSS, GAP, SHARP = 3, 0.04, 4  # pictures a row, the edge of one, and how many times larger a pixel is drawn


def pictures(chapter: ChapterRecord) -> list[Picture]:
    """A chapter's figures; none of a chapter without."""
    found = [figure for figure in (chapter.figure, *chapter.more) if figure is not None]
    return [_picture(figure, f"chapter-{chapter.name}" + (f"-{n + 1}" if n else "")) for n, figure in enumerate(found)]


def _picture(found: ChapterFigure, name: str) -> Picture:
    if found.map is not None:
        return Picture(name, found.title, found.caption, _map_alt(found.map), partial(_map, found=found.map))
    if found.pictures:
        return Picture(name, found.title, found.caption, _units_alt(found), partial(_units, found=found))
    draw = partial(_named if found.names else _numbers, found=found)
    size = (4.3, max(3.1, 1.3 + NAMED_HIGH * len(found.names)))
    return Picture(name, found.title, found.caption, _alt(found), draw, size)


def _numbers(figure: FigureBase, colours: Colours, *, found: ChapterFigure) -> None:
    """Lines through points, by a number."""
    axes = figure.subplots()
    dress(axes, colours, x=found.x_title, y=_with_unit(found))
    factor = 100.0 if found.percent else 1.0
    for series in found.series:
        x = [point.x for point in series.points]
        y = [factor * point.value for point in series.points]
        axes.errorbar(x, y, yerr=_bars(series, factor), **_look(series, colours), linestyle=LINES[series.role])
    if found.log_x:
        ticks = sorted({point.x for series in found.series for point in series.points})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    if found.zero:
        axes.axhline(0, color=colours.muted, linewidth=0.9)
    legend(figure, _keys(found, colours), colours, 3)


def _named(figure: FigureBase, colours: Colours, *, found: ChapterFigure) -> None:
    """Points beside their names, which stand one below another: they fit a phone."""
    axes = figure.subplots()
    dress(axes, colours, x=_with_unit(found))
    axes.grid(visible=False)
    axes.grid(axis="x", color=colours.rule, linewidth=0.6)
    factor = 100.0 if found.percent else 1.0
    for series in found.series:
        x = [factor * point.value for point in series.points]
        y = [point.x for point in series.points]
        axes.errorbar(x, y, xerr=_bars(series, factor), **_look(series, colours), linestyle="")
    axes.set_yticks(range(len(found.names)), found.names)
    axes.set_ylim(len(found.names) - 0.5, -0.5)
    axes.tick_params(axis="y", colors=colours.ink)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(value, f"{value:g}")))
    if found.zero:
        axes.axvline(0, color=colours.muted, linewidth=0.9)
    legend(figure, _keys(found, colours), colours, 2)


def _map(figure: FigureBase, colours: Colours, *, found: ChapterMap) -> None:
    axes = figure.subplots()
    dress(axes, colours, x="dropout probability p", y="learning rate")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    values = np.array([[math.nan if value is None else value for value in row] for row in found.values])
    there = np.log(np.maximum(values, 1e-12))
    low = float(np.nanmin(there))
    high = max(float(np.nanquantile(there, 0.9)), low + 1e-9)
    for (row, column), value in np.ndenumerate(there):
        corner = (column - 0.48, row - 0.48)
        if math.isnan(value):
            axes.add_patch(Rectangle(corner, 0.96, 0.96, fc="none", ec=colours.rule, hatch="////", linewidth=0))
            continue
        step = round((STEPS - 1) * (1 - min(max((float(value) - low) / (high - low), 0.0), 1.0)))
        axes.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=colours.ramp[step], linewidth=0))
    places = _ridge(found)
    axes.plot(range(len(places)), places, color=colours.plain, linewidth=2.2, marker="o", markersize=4.5)
    axes.set_xlim(-0.5, len(found.columns) - 0.5)
    axes.set_ylim(len(found.rows) - 0.5, -0.5)
    axes.set_xticks(range(len(found.columns)), [f"{p:g}" for p in found.columns])
    axes.set_yticks(range(len(found.rows)), [f"{lr:g}" for lr in found.rows])
    axes.tick_params(labelsize=8.4)
    keys: list[Artist] = [Line2D([], [], color=colours.plain, linewidth=2.2, marker="o", markersize=4.5, label="ridge")]
    if np.isnan(there).any():
        keys.append(Patch(facecolor="none", edgecolor=colours.rule, hatch="////", linewidth=0, label="never run"))
    legend(figure, keys, colours)


def _units(figure: FigureBase, colours: Colours, *, found: ChapterFigure) -> None:
    """Each arm's units as grey pictures, three in a row, the arms side by side. Grey is the same on any paper."""
    every = figure.subplots(1, len(found.pictures))
    for axes, arm in zip(np.atleast_1d(every), found.pictures, strict=True):
        units = np.array(arm.units).reshape(len(arm.units), -1, arm.width)
        for unit, picture in enumerate(units):
            row, column = divmod(unit, ACROSS)
            extent = (column + GAP, column + 1 - GAP, row + 1 - GAP, row + GAP)
            sharp = np.kron(picture, np.ones((SHARP, SHARP)))
            axes.imshow(sharp, cmap="gray", vmin=-1, vmax=1, interpolation="none", extent=extent)
        axes.set_xlim(0, ACROSS)
        axes.set_ylim(math.ceil(len(units) / ACROSS), 0)
        axes.set_aspect("equal")
        axes.set_axis_off()
        axes.set_title(arm.name, color=colours.ink)


def _units_alt(found: ChapterFigure) -> str:
    arms = ", ".join(f"{len(arm.units)} units at {arm.name}" for arm in found.pictures)
    return f"Weights of the first layer as grey pictures: {arms}."


def _ridge(found: ChapterMap) -> list[float]:
    """The ridge's places between rows, which are a logarithmic axis, largest first."""
    rows = np.log(found.rows[::-1])
    return [len(rows) - 1 - float(np.interp(math.log(rate), rows, np.arange(len(rows)))) for rate in found.ridge]


def _bars(series: ChapterSeries, factor: float) -> list[list[float]]:
    ends = [
        (factor * (point.value - point.low), factor * (point.high - point.value)) for point in series.points
    ]  # fmt: skip
    return [[max(end[n], 0.0) for end in ends] for n in range(2)]


def _look(series: ChapterSeries, colours: Colours) -> dict[str, Any]:
    colour = getattr(colours, series.role)
    return {
        "color": colour, "marker": MARKERS[series.role], "markersize": 5, "linewidth": 1.6, "capsize": 3,
        "elinewidth": 1.4,
    }  # fmt: skip


def _keys(found: ChapterFigure, colours: Colours) -> list[Artist]:
    if len(found.series) < 2:
        return []
    return [
        Line2D([], [], color=getattr(colours, one.role), marker=MARKERS[one.role], markersize=5, label=one.name,
               linestyle="" if found.names else LINES[one.role])
        for one in found.series
    ]  # fmt: skip


def _with_unit(found: ChapterFigure) -> str:
    return f"{found.y_title} ({'points' if found.zero else '%'})" if found.percent else found.y_title


def _alt(found: ChapterFigure) -> str:
    factor = 100.0 if found.percent else 1.0

    def where(x: float) -> str:
        return found.names[round(x)] if found.names else f"{x:g}"

    parts = [
        f"{series.name}: "
        + ", ".join(f"{where(point.x)} {plain(point.value, f'{factor * point.value:.3g}')}" for point in series.points)
        for series in found.series
    ]
    return f"{_with_unit(found)}. {'; '.join(parts)}."


def _map_alt(found: ChapterMap) -> str:
    ridge = ", ".join(f"p = {p:g}: {rate:.2g}" for p, rate in zip(found.columns, found.ridge, strict=True))
    return f"Validation loss by learning rate and dropout probability. Best learning rates: {ridge}."
