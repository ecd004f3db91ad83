"""What `write` leaves on disk: every figure, equal bytes, nothing half-written; and plain words for what is missing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.study.report.cases import HELPS
from tests.study.report.studies import write_records

from thinned.study.report import write
from thinned.study.report.folder import figures
from thinned.study.report.page import page
from thinned.study.report.picture import Missing, Picture
from thinned.study.report.records import read

NAMES = [
    "activity", "error-by-p", "learning-curves", "lr-by-p", "nll-by-p", "nll-curves", "overview", "range-test",
    "steps-by-p", "thinned",
]  # fmt: skip
RECORDS = ("study.json", "runs.csv", "curves.csv", "range.csv")


@pytest.fixture
def folder(folder_of: Callable[[str], Path], tmp_path: Path) -> Path:
    """A study's folder of one's own."""
    return copy(folder_of("dropout helps"), tmp_path)


def copy(source: Path, target: Path) -> Path:
    """The records alone, in a folder of the same name."""
    folder = target / source.name
    folder.mkdir(parents=True)
    for name in (*RECORDS, "activations.npz"):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def edit(folder: Path, **changes: Any) -> None:
    """Change fields of study.json."""
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    (folder / "study.json").write_text(json.dumps(study | changes), encoding="utf-8")


def html_of(folder: Path) -> str:
    """The page without its drawings."""
    records = read(folder)
    shown = [Missing(x.name, x.title, x.caption) if isinstance(x, Picture) else x for x in figures(records)]
    return page(records, shown, [], folder)


@pytest.mark.long
def test_every_figure_is_a_picture_of_something_and_equal_records_give_equal_bytes(
    folder: Path, tmp_path: Path
) -> None:
    assert write(folder) == folder / "report.html"
    assert sorted(path.stem for path in (folder / "figures").iterdir()) == NAMES
    for path in (folder / "figures").iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
            assert min(image.size) > 300
            low, high = zip(*image.convert("RGB").getextrema(), strict=True)
        assert max(low) < 80  # ink
        assert high == (255, 255, 255)  # paper
    second = copy(folder, tmp_path / "b")
    write(second)
    for path in sorted(folder.rglob("*.*")):
        assert path.read_bytes() == (second / path.relative_to(folder)).read_bytes(), path.name


def test_a_failure_leaves_the_old_report_and_no_scraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "thinned-study"
    write_records(replace(HELPS, complete=False, stopped="interrupted", finished=(), best_p=0.0), folder)
    (folder / "report.html").write_text("the one before", encoding="utf-8")
    before = sorted(path.name for path in folder.rglob("*.*"))
    monkeypatch.setattr("thinned.replaced_file.os.fdopen", _Full)
    with pytest.raises(OSError, match="no space left"):
        write(folder)
    assert (folder / "report.html").read_text(encoding="utf-8") == "the one before"
    assert before == sorted(path.name for path in folder.rglob("*.*"))


class _Full(io.FileIO):
    """A file on a full disk, opened from its descriptor."""

    def write(self, content: object, /) -> int:
        raise OSError("no space left on device")


def test_a_study_stopped_before_its_first_result_still_has_a_page(tmp_path: Path) -> None:
    folder = tmp_path / "thinned-study"
    write_records(replace(HELPS, complete=False, stopped="interrupted", finished=(), best_p=0.0), folder)
    (folder / "range.csv").write_text("lr,loss\n", encoding="utf-8")
    (folder / "figures").mkdir()
    (folder / "figures" / "error-by-p.png").write_bytes(b"of an earlier report")
    html = write(folder).read_text(encoding="utf-8")
    assert html.count("Not shown: ") == len(NAMES) - 1
    assert "No setting has been trained at every learning rate yet." in html
    assert list((folder / "figures").iterdir()) == []  # an earlier report's figures would contradict this page


def test_a_diverged_run_is_shown_as_such(folder: Path) -> None:
    runs = pd.read_csv(folder / "runs.csv")
    worst = runs[(runs["p"] == 0.5) & (runs["arm"] == "dropout") & ~runs["chosen_lr"]].index[0]
    runs.loc[worst, ["val_error", "val_nll", "val_loss", "test_error", "test_nll"]] = np.nan
    runs.to_csv(folder / "runs.csv", index=False)
    assert "∞: a run diverged." in html_of(folder)


def test_a_single_seed_claims_no_scatter(tmp_path: Path) -> None:
    write_records(replace(HELPS, seeds=1, half=0.0), tmp_path / "one")
    html = html_of(tmp_path / "one")
    assert "One seed a setting" in html
    assert "bars 95" not in html
    assert "bands reach" not in html
    assert "no scatter" in html


@pytest.mark.parametrize("name", RECORDS)
def test_a_missing_record_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"There is no {name} in .*Run `thinned study` first"):
        write(folder)
    assert not (folder / "report.html").exists()


def test_a_broken_record_is_named_with_its_line(folder: Path) -> None:
    runs = pd.read_csv(folder / "runs.csv")
    runs["arm"] = runs["arm"].where(runs.index != 2, "l3")
    runs.to_csv(folder / "runs.csv", index=False)
    with pytest.raises(ValueError, match=r"runs\.csv, line 4, must follow .* At arm: .*got 'l3'"):
        write(folder)


@pytest.mark.parametrize("version", [1, 2, 99, None])
def test_another_schema_version_is_refused_in_a_sentence(folder: Path, version: int | None) -> None:
    (folder / "study.json").write_text(json.dumps({"schema_version": version, "verdict": "helps"}), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"must have schema version 3\. Got {version}\. Use the version of thinned"):
        write(folder)


def test_a_record_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / "study.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"study\.json must be JSON"):
        write(folder)


def test_activations_of_unequal_shapes_are_refused(folder: Path) -> None:
    with np.load(folder / "activations.npz") as arrays:
        parts = dict(arrays)
    np.savez(folder / "activations.npz", **parts | {"kept": parts["kept"][:, 1:]})
    with pytest.raises(ValueError, match="must hold the same rows and units"):
        write(folder)


def test_without_activations_two_figures_say_why(folder: Path) -> None:
    (folder / "activations.npz").unlink()
    edit(folder, title="Without activations")
    absent = [figure for figure in figures(read(folder)) if isinstance(figure, Missing)]
    assert [figure.name for figure in absent] == ["activity", "thinned"]
    assert all("activations.npz is not in the folder" in figure.reason for figure in absent)
