"""The page about the zoo explains every kind of finding; the findings themselves are tested beside the inspections."""

from __future__ import annotations

from tests.zoo.findings import KINDS
from tests.zoo.report import PAGE


def test_the_page_says_why_each_kind_is_right() -> None:
    page = PAGE.read_text()
    assert [kind.why for kind in KINDS if kind.why not in page] == []
