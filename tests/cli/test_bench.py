"""`thinned bench` on this machine: its table, its rows and its picture, and what it refuses."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.full_disk import files_of_at_most
from typer.testing import Result

from thinned.noise.kernel import OFF, Kernel

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


@pytest.mark.long
def test_rows_that_end_without_a_line_end_stay_rows(thinned: Thinned, tmp_path: Path) -> None:
    call = ("bench", "--device", "cpu", "--sizes", "64", "--seconds", "0", "--dtype", "float32")
    assert thinned(*call).exit_code == 0
    table = tmp_path / "thinned-bench.csv"
    table.write_bytes(table.read_bytes().removesuffix(b"\n"))
    assert thinned(*call).exit_code == 0
    assert [row["what"] for row in rows(table)] == CONTENDERS * 4


@pytest.mark.parametrize("option", ["--csv", "--plot"])
def test_a_place_that_can_t_be_written_is_refused_before_the_work(
    thinned: Thinned, tmp_path: Path, option: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "locked.png").write_bytes(b"old")
    (tmp_path / "locked.png").chmod(0o444)
    for name, why in (("folder.png", "it is a folder"), ("locked.png", "it is read-only"), ("no/a.png", "no folder")):
        result = thinned("bench", "--device", "cpu", "--sizes", "64", "--seconds", "0", option, name)
        assert result.exit_code == 2
        assert why in " ".join(result.output.split())
        assert "thinned by" not in result.output
        assert "ns an element" not in result.output
    assert (tmp_path / "locked.png").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png", "locked.png"]


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="a limit of POSIX")
def test_where_the_disk_is_full_the_old_files_stay(thinned: Thinned, tmp_path: Path) -> None:
    """Another run's rows and picture, of which an append or a picture drawn in place would leave a part."""
    call = ("bench", "--device", "cpu", "--sizes", "64", "--seconds", "0", "--dtype", "float32")
    assert thinned(*call).exit_code == 0
    table, picture = tmp_path / "thinned-bench.csv", tmp_path / "thinned-bench.png"
    before = {path: path.read_bytes() for path in (table, picture)}
    with files_of_at_most(len(before[table]) + 100):
        result = thinned(*call)
    assert result.exit_code == 2
    assert "File too large" in result.output
    assert "ns an element" in result.output, "what was measured is shown"
    with files_of_at_most(len(before[picture]) // 2):
        assert thinned(*call, "--csv", "other.csv").exit_code == 2
    (tmp_path / "other.csv").unlink()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_there_is_no_memory_for_is_one_sentence(thinned: Thinned, tmp_path: Path) -> None:
    result = thinned("bench", "--device", "cpu", "--sizes", "2^50", "--seconds", "0", "--dtype", "float32")
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    said = " ".join(result.output.split())
    assert "forward of 1125899906842624 elements of torch.float32 can't be measured on cpu: " in said
    assert not list(tmp_path.iterdir())


def test_why_the_kernel_is_not_used_is_said(thinned: Thinned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinned.noise.kernel.kernel", Kernel(OFF))
    call = ("bench", "--device", "cpu", "--sizes", "64", "--seconds", "0", "--dtype", "float32")
    result = thinned(*call)
    assert "by eager (THINNED_KERNEL=off)" in " ".join(result.output.split())
    assert {row["backend"] for row in rows(tmp_path / "thinned-bench.csv")} == {"eager"}


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--device", "quantum", "`device` must be one that this torch finds"),
        ("--device", "meta", "`device` must be one that this torch finds"),
        ("--dtype", "int64", "`dtype` must be a floating-point type. Got 'int64'."),
        ("--dtype", "float31", "`dtype` must be a floating-point type. Got 'float31'."),
        ("--dtype", "float8_e4m3fn", "Pass one of float32, float64, bfloat16, float16."),
        ("--plot", "mine.txt", "`plot` must end in .png, .svg, .pdf. Got 'mine.txt'."),
        ("--plot", "mine", "`plot` must end in .png, .svg, .pdf. Got 'mine'."),
        ("--sizes", "2^64", "`sizes` must be whole numbers above 0 and below 2^63"),
        ("--sizes", "9^9^9", "`sizes` must be whole numbers above 0"),
        ("--sizes", "9^999999999", "`sizes` must be whole numbers above 0"),
        ("--sizes", "1^-1", "`sizes` must be whole numbers above 0"),
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
