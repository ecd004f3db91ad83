"""What checks of large files cost: the table that the benchmark prints."""

from __future__ import annotations

import pytest
from benchmarks.check import SIZES, clean, dropouts

from thinned.model.check.registry import ENTRIES, rule
from thinned.model.check.walk import check_text

from .run import run

RULES = [rule(entry.code) for entry in ENTRIES if "source" in entry.looks_at]


@pytest.mark.long
def test_a_run_has_a_row_for_each_work() -> None:
    rows = run("check", "--quick").splitlines()
    assert rows[0] == "| work | file | seconds | goal |"
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| check"] * 2 + ["| check --fix"] * 2 + [
        "| check of clean lines",
        "| without a dropout",
        "| Python's parser alone",
    ]
    assert all(float(row.split(" | ")[2]) > 0 for row in rows[2:])
    assert f"{SIZES[1]:,} dropouts" in rows[3]


def test_what_is_measured_is_what_it_says() -> None:
    assert len(check_text("net.py", dropouts(20), RULES)) == 20
    assert check_text("net.py", clean(100), RULES) == []
    assert clean(1_000).count("\n") == 1_004
