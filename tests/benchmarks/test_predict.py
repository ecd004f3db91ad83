"""What Monte-Carlo samples cost: recorded runs, and their tables on the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.predict import LOOP, OURS

from .run import ROOT, read, run


@pytest.mark.long
def test_a_run_and_its_tables(tmp_path: Path) -> None:
    rows, page = tmp_path / "predict.csv", tmp_path / "performance.md"
    page.write_text((ROOT / "docs" / "design" / "performance.md").read_text(encoding="utf-8"), encoding="utf-8")
    said = run(
        "predict", "--models", "784-512-512-10", "--threads", 1, "--batch", 1, 2, "--seconds", 0.01, "--csv", rows
    )
    found = read(rows)
    assert {(row["what"], row["batch"]) for row in found} >= {(what, batch) for what in (LOOP, OURS) for batch in "12"}
    for row in found:
        loop = next(other for other in found if (other["what"], other["batch"]) == (LOOP, row["batch"]))
        ratio = float(loop["ms"]) / float(row["ms"])
        assert abs(float(row["faster_than_loop"]) / ratio - 1) < 0.02  # both are rounded
        assert row["ms"] in said
    run("page", "--predict", rows, "--page", page)
    run("page", "--predict", rows, "--page", page, "--check")
    shown = page.read_text(encoding="utf-8")
    assert all(f"{row['ms']} ms ({row['faster_than_loop']}x)" in shown for row in found)
