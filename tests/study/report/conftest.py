"""Made-up studies as folders, and their pages, each written once a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from matplotlib.figure import FigureBase
from tests.study.report.cases import CASES
from tests.study.report.reading import PageReader
from tests.study.report.studies import write_records

from thinned.study.report.folder import figures
from thinned.study.report.page import page
from thinned.study.report.picture import Picture
from thinned.study.report.records import Records, read
from thinned.study.report.theme import Colours


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A case's folder, to read from."""

    @cache
    def folder(case: str) -> Path:
        path: Path = tmp_path_factory.mktemp("case") / "thinned-study"
        write_records(CASES[case], path)
        return path

    return folder


@pytest.fixture(scope="session")
def records_of(folder_of: Callable[[str], Path]) -> Callable[[str], Records]:
    """A case's records."""
    return cache(lambda case: read(folder_of(case)))


@pytest.fixture(scope="session")
def page_of(
    folder_of: Callable[[str], Path], records_of: Callable[[str], Records]
) -> Callable[[str], PageReader]:  # fmt: skip
    """A case's page with all its words; the figures are left empty, which saves most of the time."""

    @cache
    def reader(case: str) -> PageReader:
        shown = [replace(x, draw=_nothing) if isinstance(x, Picture) else x for x in figures(records_of(case))]
        return PageReader(page(records_of(case), shown, [], folder_of(case)))

    return reader


def _nothing(figure: FigureBase, colours: Colours) -> None:
    """Draw nothing."""
