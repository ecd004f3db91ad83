"""Records in, `report.html` and `figures/*.png` out, each replaced in one step so that nothing half-written is left."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from thinned.replaced_file import replace_file
from thinned.study.report import (
    figure_activity,
    figure_chapter,
    figure_grid,
    figure_learning,
    figure_level,
    figure_likelihood,
    figure_overview,
    figure_range,
    figure_steps,
    figure_thinned,
)
from thinned.study.report.page import page
from thinned.study.report.picture import Missing, Picture, png
from thinned.study.report.records import Records, read
from thinned.study.report.units import Units


def write(folder: Path) -> Path:
    """Turn the study in `folder` into pages: `report.html`, which is returned, and `figures/*.png` beside it.

    The page is one file without scripts or outside references. An unfinished study gives a page that says what it
    lacks.

    Raises FileNotFoundError where a record is missing and ValueError where one breaks the records' contract.
    """
    folder = Path(folder)
    records = read(folder)
    shown = figures(records)
    study = records.study
    overview = figure_overview.picture(records, Units.deciding(study), Units.error(study))
    told = [figure_chapter.pictures(chapter) for chapter in study.chapters]
    html = page(records, shown, told, folder)
    (folder / "figures").mkdir(exist_ok=True)
    for old in (folder / "figures").glob("chapter-*.png"):
        old.unlink()  # of a chapter that this page may not have
    for figure in [*shown, overview, *chain.from_iterable(told)]:
        path = folder / "figures" / f"{figure.name}.png"
        if isinstance(figure, Picture):
            replace_file(path, png(figure))
        else:
            path.unlink(missing_ok=True)  # an earlier report's figure would contradict this page
    replace_file(folder / "report.html", html.encode())
    return folder / "report.html"


def figures(records: Records) -> list[Picture | Missing]:
    """The page's figures in reading order."""
    metric, error = Units.deciding(records.study), Units.error(records.study)
    return [
        figure_level.picture(records, metric),
        figure_learning.picture(records, error, "error"),
        figure_likelihood.picture(records),
        figure_learning.picture(records, error, "nll"),
        figure_steps.picture(records, error),
        figure_grid.picture(records),
        figure_range.picture(records),
        figure_activity.picture(records.activations),
        figure_thinned.picture(records.activations),
    ]
