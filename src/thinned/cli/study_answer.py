"""What `thinned study` prints when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from .terminal import cell, show

if TYPE_CHECKING:
    from ..study.answer.speech import Speech
    from ..study.record import Estimate, LevelResult, Study


def show_answer(console: Console, found: Study, out: Path) -> None:
    """The recommendation, the sentences, the table, and what to do with it."""
    from ..study.answer.speech import Speech, name

    for warning in found.warnings:
        show(console, f"Note first: {warning}", "yellow")
    show(console, found.headline, "bold")
    for sentence in found.words:
        show(console, sentence)
    speech = Speech.of(found)
    table = Table(
        title=cell(
            f"{found.title}: {found.rows_train:,} training and {found.rows_test:,} test rows, {found.seeds} seeds"
        ),
        caption="In brackets: 95 % intervals. T: with one temperature a network, fitted on validation rows.",
    )
    nll = ("NLL", "NLL, T") if found.task == "classification" else ("NLL",)
    for heading in ("", found.metric_title, "against p = 0", *nll, "learning rate", "steps"):
        table.add_column(cell(heading), justify="right")

    def figures(level: LevelResult) -> list[str]:
        against = level.against_plain
        return [
            _interval(speech, level.metric),
            "" if against is None else f"{speech.signed(against.value)} ({speech.signed(against.low)} to "
            f"{speech.signed(against.high)})",
            *([f"{level.nll:.3f}", f"{level.nll_tempered:.3f}"] if len(nll) == 2 else [f"{level.nll:.3f}"]),
            ", ".join(f"{lr:g}" for lr in sorted(set(level.lrs))),
            f"{level.steps:,.0f}",
        ]  # fmt: skip

    for level in found.levels:
        table.add_row(*map(cell, (name(level), *figures(level))), style="bold" if level == found.chosen else None)
    for one in found.diverged:
        lrs = ", ".join(f"{lr:g}" for lr in one.lrs)
        table.add_row(*map(cell, (one.name, "diverged", "", *("" for _ in nll), lrs, "")))
    for other in found.baselines:
        table.add_row(
            cell(other.title),
            _interval(speech, other.metric),
            "",
            *([f"{other.nll:.3f}"] if len(nll) == 1 else [f"{other.nll:.3f}", ""]),
        )
    console.print(table)
    show(console, f"Trained on the device {found.device}.")
    for note in (*found.notes, *found.failures):
        show(console, note)
    use = (
        "    print(score_text(model, text))  # the perplexity of each 100 words of a text"
        if found.next_word
        else "    model.predict(X)  # a DataFrame with these columns, or an array in their order"
    )
    for line in (
        f"Report: {out / 'report.html'}   every run: {out / 'runs.csv'}",
        f"The network to take away ({found.features} columns in):",
        "",
        f"    from thinned.study import load{', score_text' if found.next_word else ''}",
        "",
        f"    model = load({str(out)!r})",
        use,
        "",
    ):
        show(console, line, soft_wrap=True)


def _interval(speech: Speech, found: Estimate) -> str:
    return f"{speech.value(found.value)} ({speech.value(found.low)} to {speech.value(found.high)})"
