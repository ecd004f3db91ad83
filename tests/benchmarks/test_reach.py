"""A goal is met, not met or not measured, by the worst of the figures that it names."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from .run import read, run, write

SIZES = (*(2**k for k in range(6, 25, 2)), 64 * 512 * 768, 2**25)
TIMES = {
    "copy_": 1.0,
    "clone": 1.0,
    "torch.nn.Dropout": 160.0,
    "torch.compile": 160.0,
    "thinned.nn.Dropout": 1.0,
    "thinned.nn.Dropout, in place": 1.0,
    "thinned.ops.drop, out=": 1.0,
    "kernel, avx512": 0.1,
    "kernel, avx2": 0.3,
    "kernel, portable": 0.6,
}
MODELS = ("MLP", "CNN", "transformer layer", "LSTM language model")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Runs that reach every goal."""
    dtypes, passes = ("float32", "bfloat16"), ("forward", "forward+backward")
    tensors = [
        {"date": "2026-01-01", "threads": threads, "dtype": dtype, "p": p, "elements": str(size), "what": what}
        | {"pass": which, "ns_per_element": f"{time}"}
        for threads, dtype, p, size, which, (what, time) in itertools.product(
            "12", dtypes, ("0.1", "0.5"), SIZES, passes, TIMES.items()
        )
    ]
    steps = [
        {"date": "2026-01-01", "threads": "2", "model": model, "dropout": "thinned.nn.Dropout", "share": "0.02"}
        for model in MODELS
    ]
    found = tmp_path / "cpu.csv", tmp_path / "training.csv"
    for path, rows in zip(found, (tensors, steps), strict=True):
        write(path, rows)
    return found


def verdicts(files: tuple[Path, Path]) -> dict[str, list[str]]:
    """The lines of each verdict."""
    *lines, _ = run("reach", "--csv", files[0], "--training", files[1]).splitlines()
    found: dict[str, list[str]] = {"met": [], "NOT met": [], "not measured": []}
    for line in lines:
        found[re.split("  +", line)[0]].append(line)
    return found


def test_all_reached(files: tuple[Path, Path]) -> None:
    found = verdicts(files)
    assert not found["NOT met"]
    assert not found["not measured"]
    assert len(found["met"]) > 40


def test_one_slow_figure_spoils_the_goals_that_name_it(files: tuple[Path, Path]) -> None:
    rows = read(files[0])
    place = {"threads": "2", "dtype": "bfloat16", "p": "0.5", "elements": str(2**20), "pass": "forward"}
    (slow,) = (row for row in rows if row["what"] == "thinned.nn.Dropout" and place.items() <= row.items())
    slow["ns_per_element"] = "1.1"  # 145 times faster than torch
    write(files[0], rows)
    (line,) = verdicts(files)["NOT met"]
    assert "145" in line
    assert ">= 150x faster" in line
    assert "bfloat16: forward, 2^18 to 2^20, p = 0.5, 2 threads" in line


def test_a_copy_is_the_bound_from_above(files: tuple[Path, Path]) -> None:
    rows = read(files[0])
    for row in rows:
        if row["what"] == "thinned.ops.drop, out=" and row["dtype"] == "float32":
            row["ns_per_element"] = "1.11" if row["elements"] == str(2**25) else "0.5"
    write(files[0], rows)
    (line,) = verdicts(files)["NOT met"]
    assert "1.11  <= 1.1x copy_" in line
    assert "out=, float32" in line


def test_a_share_is_a_bound_from_above(files: tuple[Path, Path]) -> None:
    steps = read(files[1])
    steps[-1]["share"] = "0.031"
    write(files[1], steps)
    (line,) = verdicts(files)["NOT met"]
    assert "3.1%  <= 3%" in line
    assert "LSTM language model" in line


def test_steps_that_scatter_more_than_the_bound_measure_nothing(files: tuple[Path, Path]) -> None:
    steps = read(files[1])
    steps[0]["share"], steps[1]["share"] = "-0.031", "-0.031"
    write(files[1], steps)
    found = verdicts(files)
    (line,) = found["not measured"]
    assert "-3.1%  <= 3%" in line
    assert not found["NOT met"]


def test_what_is_missing_is_not_measured(files: tuple[Path, Path]) -> None:
    rows = read(files[0])
    write(files[0], [row for row in rows if row["what"] != "torch.compile" or row["dtype"] != "float32"])
    found = verdicts(files)
    assert not found["NOT met"]
    (line,) = found["not measured"]
    assert "faster than torch.compile" in line


def test_only_the_last_run_counts(files: tuple[Path, Path]) -> None:
    rows = read(files[0])
    earlier = [{**row, "date": "2025-01-01", "ns_per_element": "1000"} for row in rows]
    write(files[0], [*earlier, *rows])
    assert not verdicts(files)["NOT met"]
    write(files[0], [*rows, {**rows[0], "date": "2026-02-01"}])
    assert len(verdicts(files)["not measured"]) > 40
