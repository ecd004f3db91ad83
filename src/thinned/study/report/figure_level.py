"""Test error, and test NLL, against p: every seed, the mean, its 95 % interval; the weight decay arm for reference."""

from __future__ import annotations

from functools import partial
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from thinned.study.record import Level
from thinned.study.report.picture import Missing, Picture, dress, legend
from thinned.study.report.records import Records
from thinned.study.report.series import levels, seeds
from thinned.study.report.theme import Colours
from thinned.study.report.units import Units, at, nats

Measure = Literal["error", "nll"]
NAMES = {"error": "error-by-p", "nll": "nll-by-p"}


def picture(records: Records, units: Units, measure: Measure) -> Picture | Missing:
    """Error or NLL on the test rows against p."""
    frame, study, l2 = levels(records), records.study, records.l2
    what = study.metric if measure == "error" else "test NLL"
    name = f"{what[:1].upper()}{what[1:]}"
    if frame.empty:
        return Missing(NAMES[measure], f"{name} against p", "no p has been trained at every learning rate yet.")

    def show(level: Level) -> str:
        return units.error(level.test_error) if measure == "error" else f"{nats(level.test_nll)} nats"

    points = "; ".join(f"{at(level.p)}: {show(level)}" for level in study.levels if level.arm == "dropout")
    reference = f" Weight decay {l2.weight_decay:g}: {show(l2)}." if l2 else ""
    inputs = records.inputs
    if inputs:
        reference += f" {at(inputs.p)} and inputs {inputs.p_input:g}: {show(inputs)}."
    bars = ", bars are 95 % intervals" if measure == "error" and (frame["seeds"] > 1).any() else ""
    line = f" The grey {'band' if measure == 'error' else 'line'} is the weight decay arm." if l2 else ""
    line += f" The diamond drops inputs as well, at {inputs.p_input:g}." if inputs else ""
    pair = [show(level) for level in (records.plain, records.noisy) if level]
    if len(pair) < 2:
        finding = f"{name} at {at(frame['p'].iloc[0])}: {pair[0]}"
    elif measure == "nll" or study.verdict == "no difference":
        clear = " shows no clear difference" if measure == "error" else ""
        finding = f"{name}{clear}: {pair[0]} at {at(0)}, {pair[1]} at {at(records.noisy.p if records.noisy else 0)}"
    else:
        verb = "falls" if study.verdict == "helps" else "rises"
        finding = (
            f"{name} {verb} from {pair[0]} at {at(0)} to {pair[1]} at {at(records.noisy.p if records.noisy else 0)}"
        )
    return Picture(
        name=NAMES[measure],
        title=finding,
        caption=f"How to read it: lower is better. Faint dots are single seeds, large dots their means{bars}, each at "
        f"the learning rate chosen for its p.{line}",
        alt=f"{name} by dropout probability. {points}.{reference}",
        draw=partial(_draw, records=records, units=units, measure=measure),
    )


def panel(axes: Axes, records: Records, units: Units, colours: Colours, *, measure: Measure) -> None:
    """The plot itself, also used in the overview."""
    factor = units.factor if measure == "error" else 1.0
    column = f"test_{measure}"
    frame, dots, l2, inputs = levels(records), seeds(records), records.l2, records.inputs
    ps, middle = frame["p"].to_numpy(float), factor * frame[column].to_numpy(float)
    if l2:
        if measure == "error" and l2.seeds > 1:
            axes.axhspan(factor * l2.test_error_low, factor * l2.test_error_high, color=colours.l2, alpha=0.18, lw=0)
        height = factor * (l2.test_error if measure == "error" else l2.test_nll)
        axes.axhline(height, color=colours.l2, linestyle=(0, (5, 2)), linewidth=1.3)
    span = max(ps.max() - ps.min(), 0.1)
    beside = dots["p"] + 0.025 * span  # not on the interval's bar, which would hide them
    axes.plot(beside, factor * dots[column], "o", color=colours.noisy, alpha=0.5, markersize=4, markeredgewidth=0)
    axes.plot(ps, middle, color=colours.noisy, linewidth=1.4)
    if measure == "error" and (frame["seeds"] > 1).any():
        spread = [
            middle - factor * frame["test_error_low"].to_numpy(float),
            factor * frame["test_error_high"].to_numpy(float) - middle,
        ]
        axes.errorbar(ps, middle, spread, fmt="none", color=colours.noisy, elinewidth=1.6, capsize=3)
    for p, value in zip(ps, middle, strict=True):
        axes.plot(p, value, "o", color=colours.noisy if p > 0 else colours.plain, markersize=6.5, markeredgewidth=0)
        if p == records.study.best_p:
            axes.plot(p, value, "o", ms=13, markerfacecolor="none", markeredgecolor=colours.ink, markeredgewidth=1.3)
    if inputs:
        height = factor * (inputs.test_error if measure == "error" else inputs.test_nll)
        axes.plot(inputs.p, height, "D", color=colours.noisy, markersize=6, markeredgewidth=0)
    axes.set_xticks(ps, [f"{p:g}" for p in ps])
    axes.set_xlim(ps.min() - 0.07 * span, ps.max() + 0.07 * span)


def keys(records: Records, colours: Colours) -> list[Line2D]:
    """What the ring, the diamond and the grey line mean."""
    ring = Line2D([], [], linestyle="", marker="o", ms=10, mfc="none", mec=colours.ink, mew=1.3, label="chosen p")
    found = [ring]
    if records.inputs:
        label = f"inputs too ({records.inputs.p_input:g})"
        found.append(Line2D([], [], linestyle="", marker="D", ms=6, color=colours.noisy, mew=0, label=label))
    if records.l2:
        label = f"L2 ({records.l2.weight_decay:g})"
        found.append(Line2D([], [], color=colours.l2, linestyle=(0, (5, 2)), linewidth=1.3, label=label))
    return found


def _draw(figure: FigureBase, colours: Colours, *, records: Records, units: Units, measure: Measure) -> None:
    axes = figure.subplots()
    label = f"{records.study.metric} {units.axis}" if measure == "error" else "test NLL (nats a row)"
    dress(axes, colours, x="dropout probability p", y=label)
    panel(axes, records, units, colours, measure=measure)
    legend(figure, keys(records, colours), colours)
