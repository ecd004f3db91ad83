"""`thinned bench` on this machine: its table, its rows and its picture, and what it refuses."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Thinned = Callable[..., Result]
CONTENDERS = ["copy_", "torch.nn.Dropout", "thinned.nn.Dropout"]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_run(thinned: Thinned, tmp_path: Path) -> None:
    call = ("bench", "--device", "cpu", "--sizes", "100,2^12", "--seconds", "0", "--p", "0.25")
    result = thinned(*call)
    assert result.exit_code == 0, result.output
    found = rows(tmp_path / "thinned-bench.csv")
    settings = [
        (t, which, n)
        for t in ("float32", "bfloat16")
        for which in ("forward", "forward+backward")
        for n in ("100", "4096")
    ]
    assert [(r["dtype"], r["pass"], r["elements"], r["what"]) for r in found] == [
        (*setting, what) for setting in settings for what in CONTENDERS
    ]
    for start in range(0, len(found), 3):
        copy, theirs, ours = (float(row["ns_per_element"]) for row in found[start : start + 3])
        assert min(copy, theirs, ours) > 0
        assert float(found[start + 2]["ratio_to_torch"]) == pytest.approx(ours / theirs, rel=2e-3)
        assert float(found[start + 2]["ratio_to_copy"]) == pytest.approx(ours / copy, rel=2e-3)
    assert (tmp_path / "thinned-bench.png").read_bytes().startswith(b"\x89PNG")
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    whole = " ".join(result.output.split())  # Rich breaks a title that is wider than its table
    assert "forward+backward, bfloat16: ns an element" in whole
    assert " ".join(("torch.nn.Dropout", *(r["ns_per_element"] for r in found[1:6:3]))) in lines
    assert "in copies, at 2^12 elements" in whole
    assert lines.count("100 2^12") == 4
    assert thinned(*call, "--dtype", "float32", "--plot", "again.svg").exit_code == 0
    assert len(rows(tmp_path / "thinned-bench.csv")) == len(found) * 3 // 2
    assert "<svg" in (tmp_path / "again.svg").read_text()


def test_another_table_is_not_appended_to(thinned: Thinned, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    result = thinned("bench", "--device", "cpu", "--sizes", "64", "--seconds", "0", "--csv", "mine.csv")
    assert result.exit_code == 2
    assert "mine.csv has other columns. Got a, b. Name another file by --csv." in result.output
    assert "ns an element" in result.output, "what was measured is shown"
    assert (tmp_path / "mine.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--device", "quantum", "`device` must be one that this torch finds"),
        ("--device", "meta", "`device` must be one that this torch finds"),
        ("--dtype", "int64", "`dtype` must be a floating-point type. Got 'int64'."),
        ("--dtype", "float31", "`dtype` must be a floating-point type. Got 'float31'."),
        ("--sizes", "many", "`sizes` must be whole numbers above 0"),
        ("--sizes", "0", "`sizes` must be whole numbers above 0"),
        ("--p", "0", "`p` must be a number in (0, 1]. Got 0."),
        ("--p", "20", "`p` must be a number in (0, 1]. Got 20."),
    ],
)
def test_what_is_refused(thinned: Thinned, tmp_path: Path, option: str, value: str, said: str) -> None:
    result = thinned("bench", option, value)
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())
    assert not list(tmp_path.iterdir())
