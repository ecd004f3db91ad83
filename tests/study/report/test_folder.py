"""What `write` leaves on disk: every figure, equal bytes, nothing half-written; and plain words for what is missing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from thinned.study.report import write
from thinned.study.report.folder import figures
from thinned.study.report.page import page
from thinned.study.report.records import read

NAMES = ["activity", "error-by-p", "learning-curves", "lr-by-p", "nll-by-p", "nll-curves", "overview", "thinned"]


def copy(source: Path, target: Path) -> Path:
    """The records alone, in a folder of the same name."""
    folder = target / source.name
    folder.mkdir(parents=True)
    for name in ("study.json", "trials.csv", "curves.csv", "activations.npz"):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def edit(folder: Path, **changes: Any) -> None:
    """Change fields of study.json."""
    study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    (folder / "study.json").write_text(json.dumps(study | changes), encoding="utf-8")


def keep(folder: Path, trials: pd.DataFrame) -> None:
    """Leave only these trials, and their curves."""
    trials.to_csv(folder / "trials.csv", index=False)
    curves = pd.read_csv(folder / "curves.csv")
    curves[curves["trial"].isin(trials["trial"])].to_csv(folder / "curves.csv", index=False)


def levels(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "study.json").read_text(encoding="utf-8"))["levels"]
    return found


def html_of(folder: Path) -> str:
    """The page alone, without the PNGs."""
    records = read(folder)
    return page(records, figures(records), folder)


def test_every_figure_is_a_picture_of_something(digits: Path, tmp_path: Path) -> None:
    folder = copy(digits, tmp_path)
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


def test_equal_records_give_equal_bytes(digits: Path, tmp_path: Path) -> None:
    first, second = copy(digits, tmp_path / "a"), copy(digits, tmp_path / "b")
    write(first)
    write(second)
    for path in sorted(first.rglob("*.*")):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path.name


def test_a_failure_leaves_the_old_report_and_no_scraps(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy(digits, tmp_path)
    report = write(folder)
    before = report.read_bytes(), sorted(path.name for path in folder.rglob("*"))

    monkeypatch.setattr("thinned.replaced_file.os.fdopen", _Full)
    with pytest.raises(OSError, match="no space left"):
        write(folder)
    assert before == (report.read_bytes(), sorted(path.name for path in folder.rglob("*")))


class _Full(io.FileIO):
    """A file on a full disk, opened from its descriptor."""

    def write(self, content: object, /) -> int:
        raise OSError("no space left on device")


def test_an_interrupted_study_says_what_is_missing(digits: Path, tmp_path: Path) -> None:
    folder = copy(digits, tmp_path)
    trials = pd.read_csv(folder / "trials.csv")
    trials = trials[(trials["p"] < 0.5) & (trials["arm"] == "dropout")]
    keep(folder, trials)
    edit(folder, complete=False, differences=[], levels=[x for x in levels(folder) if x["p"] < 0.5][:2])
    html = html_of(folder)
    assert '<div class="badge warn">Incomplete</div>' in html
    assert f"{len(trials)} runs are in" in html
    assert "No result yet for p = 0.6." in html
    assert "There is no weight decay arm" in html
    assert "A hatched cell was never run." in html
    assert "Is the difference real?" not in html


def test_a_study_stopped_before_its_first_result_still_has_a_page(digits: Path, tmp_path: Path) -> None:
    folder = copy(digits, tmp_path)
    write(folder)
    (folder / "activations.npz").unlink()
    keep(folder, pd.read_csv(folder / "trials.csv").iloc[:0])
    edit(folder, complete=False, differences=[], levels=[])
    html = write(folder).read_text(encoding="utf-8")
    assert html.count("Not shown: ") == 7
    assert "No setting has been trained at every learning rate yet." in html
    assert list((folder / "figures").iterdir()) == []  # the first report's figures would contradict this page


def test_only_p_0(digits: Path, tmp_path: Path) -> None:
    folder = copy(digits, tmp_path)
    (folder / "activations.npz").unlink()
    trials = pd.read_csv(folder / "trials.csv")
    keep(folder, trials[(trials["p"] == 0) & (trials["arm"] == "dropout")])
    edit(folder, ps=[0.0], best_p=0.0, differences=[], levels=levels(folder)[:1])
    html = html_of(folder)
    assert "Only p = 0 was tried" in html
    assert html.count("Not shown: ") == 2
    assert "activations.npz is not in the folder" in html


def test_a_single_seed_claims_no_interval(digits: Path, tmp_path: Path) -> None:
    folder = copy(digits, tmp_path)
    trials = pd.read_csv(folder / "trials.csv")
    keep(folder, trials[trials["seed"] == 0])
    single = [
        x | {"seeds": 1, "test_error_low": x["test_error"], "test_error_high": x["test_error"]} for x in levels(folder)
    ]
    edit(folder, seeds=1, levels=single)
    html = html_of(folder)
    assert "One seed a setting" in html
    assert "bars are 95 % intervals" not in html
    assert "bands reach" not in html


def test_a_diverged_run_is_shown_as_such(digits: Path, tmp_path: Path) -> None:
    folder = copy(digits, tmp_path)
    trials = pd.read_csv(folder / "trials.csv")
    worst = trials[(trials["p"] == 0.6) & ~trials["chosen_lr"]].index[0]
    trials.loc[worst, ["val_error", "val_nll", "val_loss", "test_error", "test_nll"]] = np.nan
    trials.to_csv(folder / "trials.csv", index=False)
    assert "∞: a run diverged." in html_of(folder)


@pytest.mark.parametrize("name", ["study.json", "trials.csv", "curves.csv"])
def test_a_missing_record_is_named(digits: Path, tmp_path: Path, name: str) -> None:
    folder = copy(digits, tmp_path)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"There is no {name} in .*Run `thinned study` first"):
        write(folder)
    assert not (folder / "report.html").exists()


def test_a_broken_record_is_named_with_its_line(digits: Path, tmp_path: Path) -> None:
    folder = copy(digits, tmp_path)
    trials = pd.read_csv(folder / "trials.csv")
    trials["arm"] = trials["arm"].where(trials.index != 2, "l3")
    trials.to_csv(folder / "trials.csv", index=False)
    with pytest.raises(ValueError, match=r"trials\.csv, line 4, must follow .* At arm: .*got 'l3'"):
        write(folder)


def test_another_schema_version_is_refused(digits: Path, tmp_path: Path) -> None:
    folder = copy(digits, tmp_path)
    edit(folder, schema_version=99)
    with pytest.raises(ValueError, match=r"must have schema version 1\. Got 99"):
        write(folder)


def test_activations_of_unequal_shapes_are_refused(digits: Path, tmp_path: Path) -> None:
    folder = copy(digits, tmp_path)
    with np.load(folder / "activations.npz") as arrays:
        parts = dict(arrays)
    np.savez(folder / "activations.npz", **parts | {"kept": parts["kept"][:, 1:]})
    with pytest.raises(ValueError, match="must hold the same rows and units"):
        write(folder)
