"""docs/design/predict.md says what the recorded rows say."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

import pytest

from benchmarks import averages, shift, uci

from .run import ROOT, read, run, write

PAGE = ROOT / "docs" / "design" / "predict.md"


def test_the_page_matches_the_recorded_rows() -> None:
    run("predict_page", "--check")


def test_the_figures_are_those_of_the_rows(tmp_path: Path) -> None:
    page, rows = tmp_path / "predict.md", read(uci.FILE)
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    path = tmp_path / "uci.csv"
    kept = [row for row in rows if row["set"] == "bostonHousing" and row["split"] != "19"]
    kept[0]["rmse"] = "100.0"
    write(path, kept)
    with pytest.raises(SystemExit, match=r"Call: python -m benchmarks\.predict_page"):
        run("predict_page", "--check", "--uci", path, "--page", page)
    run("predict_page", "--uci", path, "--page", page)
    run("predict_page", "--check", "--uci", path, "--page", page)
    values = [float(row["rmse"]) for row in kept]
    assert (
        f"| bostonHousing (19 of 20 splits) | {mean(values):.2f} ± {stdev(values) / 19**0.5:.2f} |"
        in page.read_text(encoding="utf-8")
    )
    assert "| yacht (0 of 20 splits) |  |" in page.read_text(encoding="utf-8")


def test_nothing_recorded(tmp_path: Path) -> None:
    page, none = tmp_path / "predict.md", tmp_path / "none.csv"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    run("predict_page", "--uci", none, "--shift", none, "--averages", none, "--page", page)
    assert page.read_text(encoding="utf-8").count("No run is recorded yet.") == 3
    page.write_text("# How sure\n", encoding="utf-8")
    with pytest.raises(ValueError, match="must have a place for `uci`"):
        run("predict_page", "--page", page)


def test_what_is_recorded_is_whole() -> None:
    """Every set has all of its splits, every seed all of its rows."""
    assert len(uci.rows_of(uci.FILE)) % uci.SPLITS == 0
    rows = shift.rows_of(shift.FILE)
    assert len(rows) == len(shift.SEEDS) * 8 * len(shift.PREDICTORS)
    assert len(averages.rows_of(averages.FILE)) == len(shift.SEEDS) * (1 + len(averages.COUNTS))
