"""The page of a tuning: facts in, `report.html` out."""

from __future__ import annotations

from pathlib import Path

from thinned.replaced_file import replace_file
from thinned.study.report import figure_kinds, figure_rivals, tuning_words
from thinned.study.report.picture import Picture, svg
from thinned.study.report.template import filled
from thinned.study.report.tuning_facts import SeedFigures, TuningFacts
from thinned.study.report.units import DASH, plain


def write(facts: TuningFacts) -> Path:
    """Write `report.html`, whole or not at all. Equal facts give equal bytes."""
    path = facts.folder / "report.html"
    replace_file(path, page(facts).encode())
    return path


def page(facts: TuningFacts) -> str:
    """The whole of `report.html`."""
    shown = [*figure_kinds.pictures(facts), figure_rivals.picture(facts)]
    kinds = [kind.name for kind in facts.kinds]
    return filled(
        "tuning_page.html.jinja",
        facts=facts,
        badge=tuning_words.badge(facts),
        why=tuning_words.why(facts),
        differences=[
            {
                "what": f"{item.first} against {item.second}",
                "value": plain(item.value, f"{item.value:+.4g}"),
                "interval": " to ".join(plain(end, f"{end:+.4g}") for end in (item.low, item.high)),
                "seeds": item.seeds,
                "verdict": item.verdict,
                "colour": item.colour,
            }
            for item in facts.differences
        ],
        places=[(kind, [place for place in facts.places if place.kind == kind]) for kind in kinds],
        figures=[(figure, svg(figure) if isinstance(figure, Picture) else None) for figure in shown],
        tried=[
            {
                "name": item.name,
                "levels": [f"{item.levels.get(kind, 0.0):g}" for kind in kinds],
                "figure": _number(item.figure),
                "final": _number(item.final),
                "note": item.note,
            }
            for item in facts.tried
        ],
        judged=[(item.title, run, _figures(facts, run)) for item in facts.judged for run in item.runs],
        named=_named(facts),
        method=tuning_words.method(facts),
        settings=tuning_words.settings(facts),
        go_on=tuning_words.go_on(facts),
        files=tuning_words.files(facts),
    )


def _number(value: float | None) -> str:
    return DASH if value is None else plain(value, f"{value:.4g}")


def _named(facts: TuningFacts) -> list[str]:
    """The figures that judging trainings have, the judge first."""
    every = [name for item in facts.judged for run in item.runs for name in run.figures]
    return list(dict.fromkeys([facts.judge, facts.metric, *every]))


def _figures(facts: TuningFacts, run: SeedFigures) -> list[str]:
    return [_number(run.figures.get(name)) for name in _named(facts)]
