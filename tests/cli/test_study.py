"""`thinned study` from outside: what it says, what it writes, what it refuses."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from typer.testing import Result

from thinned.study import StudyError, load
from thinned.study.record import Point, Study, Trial

Thinned = Callable[..., Result]
SMALL = ["--hidden", "16", "--epochs", "6", "--seeds", "2", "--p", "0.3", "--lr", "0.01", "--jobs", "1"]
LONGER = ["--seeds", "4", "--epochs", "25"]  # enough that Ctrl-C comes in the middle
COMMAND = [sys.executable, "-c", "from thinned.cli import main; main()"]
# The same command, and Ctrl-C as a terminal sends it, to the whole process group, when the third trial has been kept.
STOPPED = """
import os, signal
from thinned.cli import main
from thinned.study.journal import Journal
add, kept = Journal.add, []
def add_and_stop(self, outcome):
    add(self, outcome)
    kept.append(outcome)
    if len(kept) == 3:
        os.killpg(os.getpgrp(), signal.SIGINT)
Journal.add = add_and_stop
main()
"""


def said(result: Result) -> str:
    """What was printed, on one line."""
    return " ".join(result.output.split())


def numbers(folder: Path) -> pd.DataFrame:
    """Every figure as it was written, digit for digit, but for the seconds."""
    return pd.read_csv(folder / "trials.csv", dtype=str).drop(columns="seconds")


def test_answers_in_words_and_leaves_the_files(classified: tuple[Path, Result]) -> None:
    out, result = classified
    assert result.exit_code == 0, result.output
    study = Study.model_validate_json((out / "study.json").read_text())
    assert study.complete
    assert " ".join(study.words) in said(result)
    assert {"helps": "Dropout helps", "no difference": "No clear difference", "hurts": "Dropout hurts"}[
        study.verdict
    ] in (study.words[0]) or study.best_p == 0
    assert study.ps == [0.0, 0.3]
    assert study.classes == ["benign", "malignant"]
    for name in ("report.html", "trials.csv", "curves.csv", "activations.npz", "best.safetensors", "config.toml"):
        assert (out / name).stat().st_size > 0


def test_the_records_are_whole(classified: tuple[Path, Result]) -> None:
    out, _ = classified
    study = Study.model_validate_json((out / "study.json").read_text())
    trials = pd.read_csv(out / "trials.csv")
    curves = pd.read_csv(out / "curves.csv")
    assert list(trials.columns) == list(Trial.model_fields)
    assert list(curves.columns) == list(Point.model_fields)
    assert set(curves["trial"]) == set(trials["trial"])
    for level in study.levels:
        same = (trials[["arm", "p", "lr", "weight_decay"]] == [level.arm, level.p, level.lr, level.weight_decay]).all(
            axis=1
        )
        runs = trials[same]
        assert runs["chosen_lr"].all()
        assert len(runs) == level.seeds == 3
        assert level.test_error == pytest.approx(runs["test_error"].mean())
        assert level.test_error_low <= level.test_error <= level.test_error_high
        assert level.test_calibration == pytest.approx(runs["test_calibration"].mean())
    with np.load(out / "activations.npz") as arrays:
        assert arrays["plain"].shape == arrays["whole"].shape == arrays["kept"].shape == (32, 16)
        assert float(arrays["p"]) == 0.3


def test_choices_follow_from_validation_columns_alone(classified: tuple[Path, Result]) -> None:
    out, _ = classified
    study = Study.model_validate_json((out / "study.json").read_text())
    trials = pd.read_csv(out / "trials.csv")

    def ranked(rows: pd.DataFrame) -> list[float]:
        means = rows.groupby("lr")[["val_loss", "val_nll"]].mean().reset_index()
        return [float(lr) for lr in means.sort_values(["val_loss", "val_nll", "lr"])["lr"]]

    for level in study.levels:
        rows = trials[
            (trials["arm"] == level.arm) & (trials["p"] == level.p) & (trials["weight_decay"] == level.weight_decay)
        ]
        assert level.lr == ranked(rows[rows["seed"] < 2])[0]
        assert rows[rows["lr"] == level.lr]["chosen_lr"].all()
        assert not rows[rows["lr"] != level.lr]["chosen_lr"].any()
    levels = [level for level in study.levels if level.arm != "l2"]
    first = min(levels, key=lambda level: (level.val_loss, level.val_nll, level.p, level.p_input))
    assert (study.best_p, study.best_p_input, study.best_lr) == (first.p, first.p_input, first.lr)


def test_the_chosen_network_predicts_the_same_in_another_process(
    classified: tuple[Path, Result], tumours: Path
) -> None:
    out, _ = classified
    frame = pd.read_csv(tumours).drop(columns="target")
    here = load(out).predict_proba(frame)
    code = (
        "import sys, pandas as pd, numpy as np; from thinned.study import load; "
        "np.save(sys.argv[3], load(sys.argv[1]).predict_proba(pd.read_csv(sys.argv[2])))"
    )
    there = out / "there.npy"
    subprocess.run([sys.executable, "-c", code, str(out), str(tumours), str(there)], check=True)
    assert np.array_equal(here, np.load(there))
    there.unlink()


def test_the_chosen_network_reaches_the_error_that_its_trial_says(
    classified: tuple[Path, Result], tumours: Path
) -> None:
    out, _ = classified
    frame = pd.read_csv(tumours)
    predictor = load(out)
    wrong = (predictor.predict(frame) != frame["target"]).mean()
    study = Study.model_validate_json((out / "study.json").read_text())
    trials = pd.read_csv(out / "trials.csv")
    chosen = (trials["p"] == study.best_p) & (trials["p_input"] == study.best_p_input) & (trials["arm"] != "l2")
    row = trials[chosen & trials["chosen_lr"] & (trials["seed"] == 0)]
    parts = [("train_error", study.rows_train), ("val_error", study.rows_val), ("test_error", study.rows_test)]
    assert wrong * len(frame) == pytest.approx(sum(float(row[name].iloc[0]) * rows for name, rows in parts))


def test_predicts_from_missing_unknown_and_array_rows(classified: tuple[Path, Result], tumours: Path) -> None:
    predictor = load(classified[0])
    frame = pd.read_csv(tumours).drop(columns="target").head(5)
    odd = frame.assign(size="gigantic", **{"mean radius": np.nan})
    assert set(predictor.predict(odd)) <= {"benign", "malignant"}
    assert predictor.predict_proba(odd).sum(axis=1) == pytest.approx(np.ones(5))
    assert np.array_equal(predictor.predict_proba(frame), predictor.predict_proba(frame.to_numpy(dtype=object)))
    with pytest.raises(StudyError, match=r"rows x 6 columns.*shape \(5, 3\)"):
        predictor.predict(frame.to_numpy(dtype=object)[:, :3])


def test_regression_speaks_the_targets_units(regressed: tuple[Path, Result]) -> None:
    out, result = regressed
    assert result.exit_code == 0, result.output
    study = Study.model_validate_json((out / "study.json").read_text())
    assert (study.task, study.metric, study.unit) == ("regression", "test RMSE", "target")
    assert 40 < study.levels[0].test_error < 200  # the target runs from 25 to 346
    assert "test RMSE of target" in said(result)
    predictor = load(out)
    frame = pd.read_parquet(out.parent / "diabetes.parquet")
    assert np.sqrt(np.mean((predictor.predict(frame) - frame["target"]) ** 2)) < 200
    with pytest.raises(StudyError, match="only a classifier"):
        predictor.predict_proba(frame)


def test_npz_and_the_task_option(thinned: Thinned, tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    np.savez(tmp_path / "iris.npz", X=x, y=y)
    result = thinned("study", tmp_path / "iris.npz", "--out", tmp_path / "out", *SMALL)
    assert result.exit_code == 0, result.output
    assert "y was read as classification; --task regression reads it the other way." in said(result)
    assert load(tmp_path / "out").predict(x).dtype == np.int64


@pytest.mark.long
def test_without_dropout_can_win(thinned: Thinned, tmp_path: Path) -> None:
    """A tumour's perimeter follows from its radius almost exactly: nothing to overfit, and noise only disturbs."""
    frame = load_breast_cancer(as_frame=True).frame[["mean radius", "mean compactness", "mean perimeter"]]
    frame.to_csv(tmp_path / "tumours.csv", index=False)
    options = ["--hidden", "16", "--epochs", "20", "--seeds", "3", "--p", "0.5", "--lr", "0.01", "--jobs", "1"]
    result = thinned(
        "study", tmp_path / "tumours.csv", "--target", "mean perimeter", "--out", tmp_path / "out", *options
    )
    study = Study.model_validate_json((tmp_path / "out" / "study.json").read_text())
    assert study.best_p == 0
    assert study.verdict == "hurts"
    assert "Use no dropout here" in said(result)
    assert "p = 0.5, raises the test RMSE of mean perimeter" in said(result)
    assert (study.differences[0].first, study.differences[0].second) == ("p = 0.5", "p = 0")
    assert study.differences[0].low > 0
    assert "p = 0.0" in (tmp_path / "out" / "config.toml").read_text()


@pytest.fixture(scope="module")
def uninterrupted(thinned: Thinned, tumours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted") / "study"
    assert thinned("study", tumours, "--target", "target", "--out", out, *SMALL, *LONGER).exit_code == 0
    return out


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="signals a process group")
@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN, reason="a shell has its background jobs ignore Ctrl-C"
)
def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(
    thinned: Thinned, tumours: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    """Stopped with two processes and finished with two: the same numbers as in one process and in one go."""
    out = tmp_path / "study"
    options = ["study", str(tumours), "--target", "target", "--out", str(out), *SMALL, *LONGER, "--jobs", "2"]
    stopped = subprocess.run(
        [sys.executable, "-c", STOPPED, *options], capture_output=True, text=True, start_new_session=True, check=False
    )
    errors = stopped.stderr
    assert stopped.returncode == 130, errors
    assert "Traceback" not in errors
    kept = int(re.search(r"(\d+) of about \d+ trials are kept", errors)[1])  # type: ignore[index]
    assert f"Go on with: thinned study {tumours} --target target" in errors
    before = {path: path.stat().st_mtime_ns for path in out.glob("journal/*.npz")}
    assert len(before) >= kept >= 1
    assert len(numbers(out)) == len(before) < 16
    assert not list(out.glob("journal/*.part"))

    result = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=True)
    assert "Report:" in result.stdout
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())  # nothing was run twice
    pd.testing.assert_frame_equal(numbers(out), numbers(uninterrupted), check_exact=True)
    assert (out / "curves.csv").read_bytes() == (uninterrupted / "curves.csv").read_bytes()


@pytest.mark.long
def test_another_seed_gives_other_numbers(thinned: Thinned, tumours: Path, tmp_path: Path, uninterrupted: Path) -> None:
    arguments = ["study", tumours, "--target", "target", "--out", tmp_path / "out", *SMALL, "--seed", "1"]
    assert thinned(*arguments).exit_code == 0
    one, two = numbers(tmp_path / "out"), numbers(uninterrupted)
    both = one.merge(two, on="trial")
    assert len(both) >= 4  # both rates on both seeds, whatever weight decays were tried
    assert (both["val_nll_x"] != both["val_nll_y"]).all()


@pytest.mark.long
def test_a_finished_study_is_not_run_again(thinned: Thinned, tumours: Path, uninterrupted: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.glob("journal/*.npz")}
    result = thinned("study", tumours, "--target", "target", "--out", uninterrupted, *SMALL, *LONGER)
    assert result.exit_code == 0
    assert before == {path: path.stat().st_mtime_ns for path in uninterrupted.glob("journal/*.npz")}


@pytest.mark.long
def test_other_settings_or_data_in_the_same_folder_are_refused(
    thinned: Thinned, tumours: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    before = (uninterrupted / "trials.csv").read_bytes()
    arguments = ["--target", "target", "--out", uninterrupted, *SMALL, *LONGER]
    result = thinned("study", tumours, *arguments, "--epochs", "7", "--p", "0.4")
    assert result.exit_code == 2
    assert "--epochs was 25, now 7" in said(result)
    assert "--p was 0.0 0.3, now 0.0 0.3 0.4" in said(result)
    assert "--out" in said(result)
    changed = tumours.read_text().replace("17.99", "17.98", 1)
    (tmp_path / "tumours.csv").write_text(changed)
    result = thinned("study", tmp_path / "tumours.csv", *arguments)
    assert result.exit_code == 2
    assert "data's fingerprint" in said(result)
    assert (uninterrupted / "trials.csv").read_bytes() == before


def table(**columns: Any) -> str:
    rows = max(len(values) for values in columns.values())
    return pd.DataFrame({"x": range(rows), **columns}).to_csv(index=False)


@pytest.mark.parametrize(
    ("name", "content", "target", "message"),
    [
        ("data.txt", "x,t\n", "t", "must end in one of .csv"),
        ("data.csv", None, "t", "there is no such file"),
        ("data.csv", "", "t", "could not be read"),
        ("data.csv", "x,t\n1,2\n1,2,3,4\n", "t", "could not be read: Error tokenizing data"),
        ("data.csv", b"\xff\xfe\x00bad\x81", "t", "could not be read"),
        ("data.parquet", "no parquet", "t", "could not be read"),
        ("data.npz", "no npz", "t", "could not be read"),
        ("data.csv", table(target=["a", "b"] * 25), None, "say which column to predict with --target COLUMN"),
        ("data.csv", table(target=["a", "b"] * 25), "taget", "There is no 'taget'. Did you mean 'target'?"),
        ("data.csv", table(t=["a"] * 50), "t", "must have two different values at least. All 50 are 'a'"),
        ("data.csv", table(t=[1.5] * 50), "t", "must have two different values at least. All 50 are 1.5"),
        ("data.csv", table(t=[None] * 50), "t", "has no values: all 50 are missing"),
        ("data.csv", table(t=["a", "b"] * 10), "t", "at least 40 rows with a target. Got 20"),
        ("data.csv", table(t=["a", "b"] * 25 + ["c"]), "t", "needs at least 4 rows. 'c' has 1"),
        ("data.csv", pd.DataFrame({"t": ["a", "b"] * 25}).to_csv(index=False), "t", "a column besides the target"),
        ("data.csv", table(y=[*range(49), "?"], t=["a", "b"] * 25), "t", "the first in row 50: '?'"),
        ("data.csv", table(y=[*range(49), np.inf], t=["a", "b"] * 25), "t", "infinite values, the first in row 50"),
    ],
)
def test_a_wrong_file_is_one_clear_error_and_nothing_is_written(
    thinned: Thinned, tmp_path: Path, name: str, content: str | bytes | None, target: str | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    result = thinned("study", path, *([] if target is None else ["--target", target]), "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert message in said(result)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--p", "1.0"], "`--p` must be a drop probability in [0, 1). Got 1.0"),
        (["--p", "20"], "If 20 % was meant, pass 0.2"),
        (["--p", "0"], "at least one rate above 0"),
        (["--seeds", "1"], "one run cannot tell an effect from luck"),
        (["--lr", "0"], "`--lr` must be a positive number"),
        (["--hidden", "big"], "whole numbers with commas"),
        (["--hidden", "0"], "1 or more"),
        (["--epochs", "0"], "`--epochs` must be at least 1"),
        (["--jobs", "0"], "`--jobs` must be at least 1"),
        (["--seed", "-1"], "`--seed` must be"),
        (["--train-rows", "5000"], "`--train-rows`"),
        (["--target", "label"], "are for a data file"),
    ],
)
def test_a_wrong_option_is_one_clear_error_and_nothing_is_written(
    thinned: Thinned, tmp_path: Path, options: list[str], message: str
) -> None:
    result = thinned("study", "--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert message in said(result)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(thinned: Thinned, tumours: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    result = thinned("study", tumours, "--target", "target", "--out", tmp_path, *SMALL)
    assert result.exit_code == 2
    assert "must be a new or empty folder" in said(result)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_default_data_are_five_thousand_digits(thinned: Thinned, tmp_path: Path) -> None:
    options = ["--hidden", "8", "--epochs", "1", "--seeds", "2", "--p", "0.2", "--lr", "0.01", "--jobs", "1"]
    result = thinned("study", "--out", tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    study = json.loads((tmp_path / "out" / "study.json").read_text())
    assert (study["rows_train"], study["rows_val"], study["rows_test"]) == (1000, 1000, 3000)
    assert study["features"] == 784
    assert study["classes"] == list("0123456789")


def test_loading_a_folder_without_a_study_says_so(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"has no config\.toml"):
        load(tmp_path)
