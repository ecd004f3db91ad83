"""Records in, `report.html` and `figures/*.png` out, each replaced in one step so that nothing half-written is left."""

from __future__ import annotations

from pathlib import Path

from thinned.replaced_file import replace_file
from thinned.study.report import (
    figure_activity,
    figure_grid,
    figure_learning,
    figure_level,
    figure_overview,
    figure_thinned,
)
from thinned.study.report.page import page
from thinned.study.report.picture import Missing, Picture, png
from thinned.study.report.records import Records, read
from thinned.study.report.units import Units

_READABLE = 0o644  # a report is for others to read, whatever else is in the folder


def write(folder: Path) -> Path:
    """Turn the study in `folder` into pages: `report.html`, which is returned, and `figures/*.png` beside it.

    The page is one file without scripts or outside references. An unfinished study gives a page that says what it
    lacks.

    Raises FileNotFoundError where a record is missing and ValueError where one breaks the records' contract.
    """
    folder = Path(folder)
    records = read(folder)
    shown = figures(records)
    overview = figure_overview.picture(records, Units.of(records.study), shown[1].title)
    html = page(records, shown, folder)
    (folder / "figures").mkdir(exist_ok=True)
    for figure in [*shown, overview]:
        path = folder / "figures" / f"{figure.name}.png"
        if isinstance(figure, Picture):
            replace_file(path, png(figure), _READABLE)
        else:
            path.unlink(missing_ok=True)  # an earlier report's figure would contradict this page
    replace_file(folder / "report.html", html.encode(), _READABLE)
    return folder / "report.html"


def figures(records: Records) -> list[Picture | Missing]:
    """The page's figures in reading order."""
    units = Units.of(records.study)
    return [
        figure_learning.picture(records, units, "error"),
        figure_level.picture(records, units, "error"),
        figure_learning.picture(records, units, "nll"),
        figure_level.picture(records, units, "nll"),
        figure_activity.picture(records.activations),
        figure_thinned.picture(records.activations),
        figure_grid.picture(records, units),
    ]
