"""The page: what the study found, in words, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from thinned.study.record import CONFIG, WEIGHTS
from thinned.study.report import tables, wording
from thinned.study.report.picture import Missing, Picture, svg
from thinned.study.report.records import Records
from thinned.study.report.template import filled
from thinned.study.report.units import Units

FIRST = 3  # sentences that stand before the key figures; the rest follow them


def page(
    records: Records, figures: Sequence[Picture | Missing], told: Sequence[Sequence[Picture]], folder: Path
) -> str:
    """The whole of `report.html`. `told` are the figures of each chapter."""
    study, config = records.study, folder / CONFIG
    metric, error = Units.deciding(study), Units.error(study)
    return filled(
        "page.html.jinja",
        study=study,
        badge=wording.badge(study),
        first=study.words[:FIRST],
        rest=study.words[FIRST:],
        missing=wording.missing(records),
        keys=wording.key_figures(records),
        differences=tables.differences(study),
        ranges=tables.ranges(study),
        figures=[(figure, svg(figure) if isinstance(figure, Picture) else None) for figure in figures],
        chapters=[
            (chapter, [(figure, svg(figure)) for figure in own])
            for chapter, own in zip(study.chapters, told, strict=True)
        ],
        rows=tables.levels(records),
        others=tables.other_metrics(study),
        baselines=tables.baselines(records),
        metric=metric,
        error=error,
        own_error=study.metric not in ("error", "rmse"),
        marks=wording.marks(study),
        no_calibration=wording.no_calibration(study),
        method=wording.method(records),
        settings=wording.settings(records),
        network=wording.taken_away(study, study.network) if study.network else None,
        folder=folder.resolve().name,
        weights=WEIGHTS,
        saved=study.network is not None and (folder / WEIGHTS).is_file(),
        config=config.read_text(encoding="utf-8") if config.is_file() else None,
    )
