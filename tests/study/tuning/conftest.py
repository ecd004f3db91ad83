"""Pages of tunings with all their words, and empty figures: most of a page's time goes into drawing."""

from __future__ import annotations

import pytest
from markupsafe import Markup


@pytest.fixture
def pages_without_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinned.study.report.tuning_page.svg", lambda picture: Markup("<svg></svg>"))
