"""Test NLL against p, raw and with one temperature a network: what of a gain is a missing temperature."""

from __future__ import annotations

from functools import partial

from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from thinned.study.answer.speech import name
from thinned.study.record import LevelResult
from thinned.study.report.picture import Missing, Picture, dress, legend
from thinned.study.report.records import Records
from thinned.study.report.series import levels, places
from thinned.study.report.theme import Colours
from thinned.study.report.units import at, nats

NAME = "nll-by-p"
DASHED = (0, (3, 1.5))


def picture(records: Records) -> Picture | Missing:
    """Test NLL of the dropout arm, and of weight decay."""
    shown = levels(records)
    if not shown:
        return Missing(NAME, "Test NLL against p", "no p has been trained at every learning rate yet.")
    numbers = records.study.task == "regression"
    decay = records.arm("decay")
    grey = " Grey is weight decay alone." if decay else ""
    how = (
        "How to read it: lower is better. The NLL of a normal distribution around the prediction, as wide as the "
        "validation residuals."
        if numbers
        else "How to read it: lower is better. Dashed, the networks' probabilities as they are; solid, softened or "
        "sharpened by one temperature a network, which was fitted on its validation rows. The distance between the "
        "two is what a temperature alone changes."
    )
    every = [*shown, *([decay] if decay else [])]
    points = "; ".join(
        f"{name(level)}: {nats(level.nll)}" + ("" if numbers else f", with a temperature {nats(level.nll_tempered)}")
        for level in every
    )
    return Picture(
        name=NAME,
        title=finding(records, shown),
        caption=f"{how} Means over seeds.{grey}",
        alt=f"Test NLL in nats a row by dropout probability. {points}.",
        draw=partial(_draw, records=records, shown=shown, decay=decay, numbers=numbers),
    )


def finding(records: Records, shown: list[LevelResult]) -> str:
    """The figures at p = 0 and at the best p."""
    pair = [level for level in (records.study.plain, records.study.noisy) if level] or shown[:1]
    raw = ", ".join(f"{nats(level.nll)} at {at(level.p)}" for level in pair)
    if records.study.task == "regression":
        return f"Test NLL: {raw}"
    tempered = ", ".join(f"{nats(level.nll_tempered)} at {at(level.p)}" for level in pair)
    return f"Test NLL with one temperature: {tempered}; without: {', '.join(nats(level.nll) for level in pair)}"


def _draw(
    figure: FigureBase,
    colours: Colours,
    *,
    records: Records,
    shown: list[LevelResult],
    decay: LevelResult | None,
    numbers: bool,
) -> None:
    axes = figure.subplots()
    dress(axes, colours, x="dropout probability p", y="test NLL (nats a row)")
    place = places(records)
    sets = [("nll", "-")] if numbers else [("nll", DASHED), ("nll_tempered", "-")]
    for field, style in sets:
        xs, ys = [place[level.p] for level in shown], [getattr(level, field) for level in shown]
        axes.plot(xs, ys, color=colours.noisy, linestyle=style, linewidth=1.6)
        for x, y, level in zip(xs, ys, shown, strict=True):
            axes.plot(x, y, "o", color=colours.noisy if level.p > 0 else colours.plain, ms=5.5, mew=0)
        if decay:
            axes.axhline(getattr(decay, field), color=colours.decay, linestyle=style, linewidth=1.4)
    axes.set_xticks(list(place.values()), [f"{p:g}" for p in place])
    axes.set_xlim(-0.4, max(place.values()) + 0.4)
    if not numbers:
        handles = [
            Line2D([], [], color=colours.muted, lw=1.6, linestyle=DASHED, label="as trained"),
            Line2D([], [], color=colours.muted, lw=1.6, label="with one temperature"),
        ]
        legend(figure, handles, colours)
