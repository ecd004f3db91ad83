"""Pages of the docs that name a test beside each sentence name tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("page", "heading"), [("complaints.md", "what people run into"), ("promises.md", "| promise | tests |")]
)
def test_every_row_has_a_test_that_exists(page: str, heading: str) -> None:
    text = (ROOT / "docs/design" / page).read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if row.startswith("| ") and heading not in row]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, function in named:
            assert f"def {function}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{function}"
