"""docs/design/performance.md says what the recorded runs say, and the guide counts its bytes right."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

from .run import ROOT, read, run, write

PAGE = ROOT / "docs" / "design" / "performance.md"
GUIDE = ROOT / "docs" / "guides" / "performance.md"


@pytest.mark.long
def test_the_page_matches_the_recorded_runs() -> None:
    command = [sys.executable, "-m", "benchmarks.page", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_bytes_kept_are_counted() -> None:
    failed, attempted = doctest.testfile(str(GUIDE), module_relative=False)
    assert attempted == 5
    assert not failed


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("results")
    tensors, steps = folder / "cpu.csv", folder / "training.csv"
    small = ("--threads", 1, "--seconds", 0.01)
    run("dropout", "--dtypes", "float32", "--sizes", 64, 4096, *small, "--csv", tensors)
    run("training", "--models", "MLP", "--batch", 2, *small, "--csv", steps)
    return tensors, steps


@pytest.mark.long
def test_the_page_follows_a_run(results: tuple[Path, Path], tmp_path: Path) -> None:
    tensors, steps = results
    page = tmp_path / "performance.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    where = ("--csv", tensors, "--training", steps, "--page", page)
    with pytest.raises(SystemExit, match=r"Call: python -m benchmarks\.page"):
        run("page", "--check", *where)
    run("page", *where)
    run("page", "--check", *where)
    text = page.read_text(encoding="utf-8")
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("|")]
    rows = read(tensors)
    for line, which in (("| thinned.nn.Dropout, p = 0.5", "forward"), ("| torch.nn.Dropout, p = 0.1", "forward")):
        name, p = line.removeprefix("| ").split(", p = ")
        chosen = [row for row in rows if (row["what"], row["p"], row["pass"]) == (name, p, which)]
        shown = next(cells for cells in lines if cells[0] == line)
        figures = [float(cell.strip(" |")) for cell in shown[1:]]
        assert figures == [float(f"{float(row['ns_per_element']):.3g}") for row in chosen]
    assert next(row["ms_per_step"] for row in read(steps) if row["dropout"] == "none") in text
    assert "| not measured |" in text
    assert "No run is recorded yet." not in text
    # Everything else is the page's own.
    assert text.partition("<!--")[0] == PAGE.read_text(encoding="utf-8").partition("<!--")[0]


def test_a_changed_row_is_noticed(results: tuple[Path, Path], tmp_path: Path) -> None:
    page, tensors = tmp_path / "performance.md", tmp_path / "cpu.csv"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    rows = read(results[0])
    write(tensors, rows)
    where = ("--csv", tensors, "--training", results[1], "--page", page)
    run("page", *where)
    rows[0]["ns_per_element"] = "123456"
    write(tensors, rows)
    with pytest.raises(SystemExit, match="is not what the last run says"):
        run("page", "--check", *where)


def test_a_page_without_a_place_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("# Performance\n", encoding="utf-8")
    with pytest.raises(ValueError, match="must have a place for `tensors`"):
        run("page", "--page", page)
