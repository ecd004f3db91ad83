"""The audit's rows say what the records say, and its comparison finds signs that turn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.audit import HEADINGS, flips, read, row, tables
from tests.study.report.cases import CASES, HELPS
from tests.study.report.studies import study_of

TURNED = study_of(replace(HELPS, effects={p: -effect for p, effect in HELPS.effects.items()}))


@pytest.mark.parametrize("case", [name for name, case in CASES.items() if case.answers and case.complete])
def test_a_row_has_a_cell_for_every_heading(case: str) -> None:
    cells = row("iris", study_of(CASES[case])).split(" | ")
    assert len(cells) == len(HEADINGS)
    assert all(cells)


def test_a_row_says_what_the_record_says() -> None:
    cells = dict(zip(HEADINGS, row("iris", study_of(HELPS)).strip("| ").split(" | "), strict=True))
    assert cells["best p above 0"] == "0.5"
    assert cells["its difference to p = 0 (95 %)"] == "-2.0 (-2.6 to -1.4)"
    assert (cells["p = 0"], cells["that p"], cells["decay"], cells["trees"]) == ("8.0 %", "6.0 %", "7.4 %", "10.5 %")
    assert cells["time"] == "2.5 min"


def test_equal_sets_have_no_flip_and_other_signs_are_told() -> None:
    study = study_of(HELPS)
    assert not list(flips("iris", study, study))
    found = list(flips("iris", study, TURNED))
    assert [line.split(": ")[1] for line in found] == [f"p = {p:g}" for p in (0.1, 0.2, 0.3, 0.4, 0.5)]
    assert found[-1] == (
        "iris: p = 0.5: -2.0 points (95 % interval -2.6 to -1.4) here, +2.0 points (95 % interval +1.4 to +2.6) there; "
        "clear in both"
    )


def test_it_reads_what_tables_wrote_and_what_a_study_wrote(tmp_path: Path) -> None:
    (tmp_path / "tables.csv").write_text("name,rows,columns,task,target\nwine,178,13,classification,target\n")
    digits, wine = tables(tmp_path)
    assert digits.file is None
    assert wine.file == tmp_path / "wine.csv"
    assert read(tmp_path, "wine") is None
    (tmp_path / "wine").mkdir()
    (tmp_path / "wine" / "study.json").write_text(TURNED.model_dump_json())
    assert read(tmp_path, "wine") == TURNED
