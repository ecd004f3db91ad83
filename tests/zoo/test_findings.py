"""The checker on architectures that people use: what it finds is known and right, and it finds nothing else."""

from __future__ import annotations

import pytest
from tests.zoo.architectures import QUICK
from tests.zoo.findings import KINDS, found_in, unexplained
from tests.zoo.report import PAGE


@pytest.mark.parametrize("name", QUICK)
def test_every_finding_is_of_a_known_kind(name: str) -> None:
    assert unexplained(name, found_in(name)) == []


def test_the_page_says_why_each_kind_is_right() -> None:
    page = PAGE.read_text()
    assert [kind.why for kind in KINDS if kind.why not in page] == []
