"""The benchmark of a call times both passes at each size, and says which goals are met."""

from __future__ import annotations

from pathlib import Path

from benchmarks import call

from .run import read, run


def test_a_run(tmp_path: Path) -> None:
    printed = run("call", "--seconds", 0, "--sizes", 64, 16384, "--csv", tmp_path / "call.csv")
    rows = read(tmp_path / "call.csv")
    assert [(row["what"], row["pass"]) for row in rows] == [*call.calls(64), *call.calls(64)]
    assert [row["goal"] for row in rows if row["goal"]] == ["4", "1.4", "3", "1.4"]
    assert all(float(row["us_per_call"]) > 0 for row in rows)
    assert printed.count("met") == 4
    units = [float(row["ratio_to_unit"]) for row in rows if row["what"] in call.UNITS.values()]
    assert units == [1.0] * 4
