"""`thinned study` from outside: what it says, what it writes, what it refuses."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.metrics import log_loss
from typer.testing import Result

from thinned.study import StudyError, load, run_study
from thinned.study.record import Point, Run, Study
from thinned.study.trial.config import Recipe, Unit
from thinned.study.trial.fold import Fold
from thinned.study.trial.outcome import Outcome
from thinned.study.trial.unit import train_unit

Thinned = Callable[..., Result]
FILES = (
    "study.json",
    "runs.csv",
    "curves.csv",
    "range.csv",
    "activations.npz",
    "networks.safetensors",
    "config.toml",
    "report.html",
    "trials.db",
    "journal.json",
)
COMMAND = [sys.executable, "-c", "from thinned.cli import main; main()"]
# The same command, and Ctrl-C as a terminal sends it, to the whole process group, when the second unit has been kept.
STOPPED = """
import os, signal
from thinned.cli import main
from thinned.study.keep.journal import Journal
add, units = Journal.add, []
def add_and_stop(self, unit, outcomes):
    add(self, unit, outcomes)
    units.append(unit)
    if len(units) == 2:
        os.killpg(os.getpgrp(), signal.SIGINT)
Journal.add = add_and_stop
main()
"""
# The command, and whether it has imported torch.
LEAN = """
import sys
from thinned.cli import main
try:
    main()
finally:
    print(sorted({"torch", "pandas", "sklearn", "optuna"} & set(sys.modules)))
"""


def said(result: Result) -> str:
    """What was printed, on one line."""
    return " ".join(result.output.split())


def study_in(folder: Path) -> Study:
    return Study.model_validate_json((folder / "study.json").read_text())


def numbers(folder: Path) -> pd.DataFrame:
    """Every figure as it was written, digit for digit, but for the seconds."""
    return pd.read_csv(folder / "runs.csv", dtype=str).drop(columns="seconds")


def trials(folder: Path) -> int:
    """How many runs were ever recorded."""
    database = sqlite3.connect(folder / "trials.db")
    try:
        return int(database.execute("select count(*) from trials").fetchone()[0])
    finally:
        database.close()


def test_answers_in_words_and_leaves_the_files(classified: tuple[Path, Result]) -> None:
    out, result = classified
    assert result.exit_code == 0, result.output
    study = study_in(out)
    assert study.complete
    assert study.headline in said(result)
    assert " ".join(study.words) in said(result)
    assert study.ps == [0.0, 0.3]
    assert study.classes == ["benign", "malignant"]
    assert study.outer == 1
    for name in FILES:
        assert (out / name).stat().st_size > 0, name
    page = (out / "report.html").read_text()
    assert f'model = load("{out.name}")' in page
    assert "holds no saved network" not in page


def test_how_each_column_was_read_is_said_before_training_and_stays_on_record(classified: tuple[Path, Result]) -> None:
    out, result = classified
    study = study_in(out)
    first = result.stdout.index("how its columns were read")
    assert first < result.stdout.index(study.headline.split()[0])
    assert "Read as utf-8 with comma between fields; the decimal sign is '.'." in said(result)
    read_as = {column.name: (column.read_as, column.why) for column in study.columns}
    assert read_as["size"] == ("level", "4 different texts")
    assert read_as["mean texture"] == ("number", "numbers")
    assert read_as["target"] == ("level", "the target; 2 different texts")
    assert all(name in result.stdout for name in read_as)
    config = tomllib.loads((out / "config.toml").read_text())
    assert {column["name"]: column["kind"] for column in config["inputs"]["read"]} == {
        name: kind for name, (kind, _) in read_as.items() if name != "target"
    }
    assert "4 different texts" in (out / "report.html").read_text()


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_columns_are_what_the_caller_says(thinned: Thinned, small: list[str], tmp_path: Path) -> None:
    """Semicolons and decimal commas; a number that is a level, a text that is left out, and a word that is a class."""
    rng = np.random.default_rng(1)
    lines = ["ward;size;note;kind"]
    for i, size in enumerate(rng.normal(3, 1, 60)):
        lines.append(f"{i % 4};{size:.3f};n{i % 7};{'None' if size > 3 else 'ill'}".replace(".", ","))
    (tmp_path / "data.csv").write_text("\n".join(lines))
    out = tmp_path / "out"
    options = ["--column", "ward=level", "--column", "note=ignore", "--lr", "0.01", "-o", out]
    result = thinned("study", tmp_path / "data.csv", "--target", "kind", *small, *options)
    assert result.exit_code == 0, result.output
    assert "Note first: kind has a class named 'None'" in said(result)
    study = study_in(out)
    assert study.classes == ["None", "ill"]
    assert [(column.name, column.read_as) for column in study.columns] == [
        ("ward", "level"), ("size", "number"), ("note", "left out"), ("kind", "level"),
    ]  # fmt: skip
    assert any("kind has a class named 'None'" in warning for warning in study.warnings)
    model = load(out)
    assert model.columns == ("ward", "size")
    assert set(model.members[0].preparation.levels[0]) == {"0", "1", "2", "3"}
    again = thinned("study", tmp_path / "data.csv", "--target", "kind", *small, "--lr", "0.01", "-o", out)
    assert again.exit_code == 2
    assert "--column was ward=level note=ignore, now None" in said(again)


def test_without_a_terminal_progress_is_lines_on_stderr(classified: tuple[Path, Result]) -> None:
    _, result = classified
    lines = result.stderr.splitlines()
    assert all(re.match(r"\[\d+ s\] \d+ of about \d+ runs, ", line) for line in lines)
    assert any("training dropout-p0-wd0" in line for line in lines)
    assert any("comparing with other models" in line for line in lines)
    assert "of about" not in result.stdout


def test_the_records_are_whole(classified: tuple[Path, Result]) -> None:
    out, _ = classified
    study = study_in(out)
    runs = pd.read_csv(out / "runs.csv")
    curves = pd.read_csv(out / "curves.csv")
    assert list(runs.columns) == list(Run.model_fields)
    assert list(curves.columns) == list(Point.model_fields)
    assert set(curves["run"]) == set(runs["run"])
    assert runs["run"].is_unique
    assert trials(out) == len(runs)
    assert {"dropout", "decay", "both"} <= {level.arm for level in study.levels}
    for level in study.levels:
        rows = runs[(runs["arm"] == level.arm) & ((runs["p"] == level.p) | (level.arm == "decay")) & runs["chosen_lr"]]
        if level.weight_decay:
            rows = rows[rows["weight_decay"] == level.weight_decay]
        assert list(rows["seed"]) == [0, 1, 2, 3]
        assert set(rows["lr"]) == set(level.lrs)
        assert level.error.value == pytest.approx(rows["test_error"].mean())
        assert level.error.low <= level.error.value <= level.error.high
        assert level.nll == pytest.approx(rows["test_nll"].mean())
        assert level.nll_tempered == pytest.approx(rows["test_nll_tempered"].mean())
        assert level.gap == pytest.approx((rows["test_error"] - rows["train_error"]).mean())
        assert level.val_loss == pytest.approx(rows["val_loss"].mean())
        assert level.unfinished == pytest.approx((rows["ended"] == "steps").mean())
    for found in study.differences:
        assert found.low <= found.value <= found.high
    with np.load(out / "activations.npz") as arrays:
        assert arrays["plain"].shape == arrays["whole"].shape == arrays["kept"].shape == (32, 8)
        assert float(arrays["p"]) == 0.3


@pytest.mark.long
def test_the_networks_predict_the_same_in_another_process(classified: tuple[Path, Result], tumours: Path) -> None:
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


def test_predicts_from_missing_unknown_and_array_rows(classified: tuple[Path, Result], tumours: Path) -> None:
    model = load(classified[0])
    frame = pd.read_csv(tumours).drop(columns="target").head(5)
    odd = frame.assign(size="gigantic", **{"mean radius": np.nan})
    assert set(model.predict(odd)) <= {"benign", "malignant"}
    assert model.predict_proba(odd).sum(axis=1) == pytest.approx(np.ones(5))
    assert np.array_equal(model.predict_proba(frame), model.predict_proba(frame.to_numpy(dtype=object)))


@pytest.mark.long
def test_regression_speaks_the_targets_units(regressed: tuple[Path, Result]) -> None:
    out, result = regressed
    assert result.exit_code == 0, result.output
    study = study_in(out)
    assert (study.task, study.metric, study.unit, study.outer) == ("regression", "rmse", "target", 4)
    assert 40 < study.levels[0].error.value < 250  # the target runs from 25 to 346
    assert study.headline in said(result)
    assert study.seeds == 8  # two in each outer split
    frame = pd.read_parquet(out.parent / "diabetes.parquet")
    assert np.sqrt(np.mean((load(out).predict(frame) - frame["target"]) ** 2)) < 250


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_more_seeds_rates_or_steps_run_nothing_again(thinned: Thinned, tumours: Path, tmp_path: Path) -> None:
    """The same call again trains nothing; more seeds and another p train what is new, and old numbers stay."""
    out = tmp_path / "study"
    options = ["--hidden", "8", "--weight-decay", "0.5", "--lr", "0.01", "--jobs", "1", "--chapters", "none", "-o", out]

    def grown(seeds: int, ps: str, epochs: int = 3) -> pd.DataFrame:
        more = ["--seeds", str(seeds), "--p", ps, "--epochs", str(epochs)]
        assert thinned("study", tumours, "--target", "target", *options, *more).exit_code == 0
        return numbers(out)

    first = grown(2, "0.3")
    arrays = {path: path.stat().st_mtime_ns for path in (out / "arrays").iterdir()}
    assert trials(out) == len(first)
    pd.testing.assert_frame_equal(grown(2, "0.3"), first, check_exact=True)
    assert trials(out) == len(first)
    for seeds, ps in ((4, "0.3"), (4, "0.1,0.3"), (7, "0.1,0.3")):
        now = grown(seeds, ps)
        assert trials(out) == len(now) > len(first)  # no run stands twice
        same = now[now["run"].isin(first["run"])].drop(columns="chosen_lr").reset_index(drop=True)
        pd.testing.assert_frame_equal(same, first.drop(columns="chosen_lr").reset_index(drop=True), check_exact=True)
    assert study_in(out).ps == [0.0, 0.1, 0.3]
    assert all(path.stat().st_mtime_ns == then for path, then in arrays.items())
    later = grown(7, "0.1,0.3", epochs=6)  # all had run out of steps, and are trained anew
    assert trials(out) == len(now) + len(later)


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_an_interrupted_study_leaves_runs_of_another_limit_or_more_seeds_out(
    thinned: Thinned, small: list[str], tumours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are kept in the folder, and stand in no table of the study that was asked for."""
    options = ["study", tumours, "--target", "target", "--out", tmp_path / "study", *small]
    assert thinned(*options).exit_code == 0
    before, kept = numbers(tmp_path / "study"), trials(tmp_path / "study")
    assert (before["ended"] == "steps").any()

    def stop(*_: object) -> list[Outcome]:
        raise KeyboardInterrupt

    monkeypatch.setattr("thinned.study.underway.train_unit", stop)
    assert thinned(*options, "--epochs", "40").exit_code == 130
    assert "steps" not in set(numbers(tmp_path / "study")["ended"])
    assert trials(tmp_path / "study") == kept


def fails_once(failing: str) -> Callable[..., list[Outcome]]:
    def train(unit: Unit, folds: Mapping[int, Fold], recipe: Recipe) -> list[Outcome]:
        if unit.level.name == failing:
            raise FloatingPointError("the loss was no number")
        return list(train_unit(unit, folds, recipe))

    return train


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_a_unit_that_fails_is_one_failure_with_its_reason(
    thinned: Thinned, small: list[str], tumours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thinned.study.underway.train_unit", fails_once("decay-p0-wd0.5"))
    out = tmp_path / "study"
    result = thinned("study", tumours, "--target", "target", "--out", out, *small)
    assert result.exit_code == 0, result.output
    study = study_in(out)
    [failure] = study.failures
    assert "decay-p0-wd0.5" in failure
    assert "failed: FloatingPointError: the loss was no number" in failure
    assert failure in said(result)
    assert "decay" not in {level.arm for level in study.levels}
    assert {level.p for level in study.levels if level.arm == "dropout"} == {0.0, 0.3}


@pytest.mark.long
def test_where_every_unit_fails_there_is_no_answer(
    thinned: Thinned, small: list[str], tumours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[Outcome]:
        raise FloatingPointError("the loss was no number")

    monkeypatch.setattr("thinned.study.underway.train_unit", fail)
    result = thinned("study", tumours, "--target", "target", "--out", tmp_path / "study", *small)
    assert result.exit_code == 2
    assert "no answer yet: 0 runs are finished" in said(result)
    assert "failed: FloatingPointError: the loss was no number" in said(result)


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_npz_and_the_task_option(thinned: Thinned, small: list[str], tmp_path: Path) -> None:
    """150 rows: every row is a test row once, in one of four outer splits."""
    x, y = load_iris(return_X_y=True)
    np.savez(tmp_path / "iris.npz", X=x, y=y)
    result = thinned("study", tmp_path / "iris.npz", "--out", tmp_path / "out", *small)
    assert result.exit_code == 0, result.output
    assert "y was read as classification; --task regression reads it the other way." in said(result)
    study = study_in(tmp_path / "out")
    assert (study.outer, study.rows_test, study.seeds) == (4, 150, 8)
    assert load(tmp_path / "out").predict(x).dtype == np.int64


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_rows_of_another_file_are_the_test_rows(
    thinned: Thinned, small: list[str], tumours: Path, tmp_path: Path
) -> None:  # fmt: skip
    """The networks together have, on that file, the error and the likelihood that the record says."""
    frame = pd.read_csv(tumours)
    frame[:400].to_csv(tmp_path / "train.csv", index=False)
    frame[400:].to_csv(tmp_path / "test.csv", index=False)
    out, test = tmp_path / "out", frame[400:]
    command = ["study", tmp_path / "train.csv", "--target", "target", "--test", tmp_path / "test.csv", "-o", out]
    result = thinned(*command, *small, "--lr", "0.03")
    assert result.exit_code == 0, result.output
    study, model = study_in(out), load(out)
    assert study.rows_test == 169
    assert study.network is not None
    assert study.network.error == pytest.approx((model.predict(test) != test["target"]).mean())
    answered = model.predict_proba(test)
    assert study.network.nll == pytest.approx(log_loss(test["target"], answered, labels=["benign", "malignant"]), 1e-4)


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_groups_time_and_another_metric(thinned: Thinned, small: list[str], tumours: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(tumours)
    frame.assign(hospital=np.arange(len(frame)) % 60, day=np.arange(len(frame))).to_csv(
        tmp_path / "visits.csv", index=False
    )
    command = ["study", tmp_path / "visits.csv", "--target", "target", *small]
    result = thinned(*command, "--groups", "hospital", "--metric", "auc", "-o", tmp_path / "groups")
    assert result.exit_code == 0, result.output
    study = study_in(tmp_path / "groups")
    assert study.metric == "auc"
    assert any("hospital" in note for note in study.notes)
    frame = pd.read_csv(tmp_path / "visits.csv")
    frame[frame["hospital"] >= 45].to_csv(tmp_path / "late.csv", index=False)
    frame[frame["hospital"] < 50].to_csv(tmp_path / "visits.csv", index=False)
    result = thinned(*command, "--groups", "hospital", "--test", tmp_path / "late.csv", "-o", tmp_path / "both")
    assert result.exit_code == 0, result.output
    study = study_in(tmp_path / "both")
    assert study.rows_test == (frame["hospital"] >= 45).sum()
    shared = frame["hospital"].between(45, 49).sum()
    assert any(f"{shared} rows share a group or all features with a test row" in note for note in study.notes)
    result = thinned(*command, "--time", "day", "-o", tmp_path / "time")
    assert result.exit_code == 0, result.output
    assert any("day" in note for note in study_in(tmp_path / "time").notes)


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_without_dropout_can_win(thinned: Thinned, tmp_path: Path) -> None:
    """A tumour's perimeter follows from its radius almost exactly: nothing to overfit, and noise only disturbs."""
    frame = load_breast_cancer(as_frame=True).frame[["mean radius", "mean compactness", "mean perimeter"]]
    frame.to_csv(tmp_path / "tumours.csv", index=False)
    out = tmp_path / "out"
    options = ["--hidden", "16", "--epochs", "40", "--seeds", "3", "--p", "0.5", "--lr", "0.01", "--jobs", "1"]
    result = thinned("study", tmp_path / "tumours.csv", "--target", "mean perimeter", "--out", out, *options)
    study = study_in(out)
    assert study.advice != "dropout"
    found = study.differences[0]
    assert (found.first, found.second) == ("p = 0.5", "p = 0")
    assert found.low > 0
    assert study.ranges[0].kind == "worse"
    assert "p = 0.5 costs" in said(result)


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_a_budget_ends_the_study_and_the_next_call_goes_on(
    thinned: Thinned, small: list[str], classified: tuple[Path, Result], tumours: Path, tmp_path: Path
) -> None:
    out, command = tmp_path / "study", ["study", tumours, "--target", "target", "-o", tmp_path / "study", *small]
    result = thinned(*command, "--budget", "1s")
    assert result.exit_code == 2
    assert "no answer yet" in said(result)
    assert "larger --budget" in said(result)
    result = thinned(*command, "--budget", "10m")  # in a process of its own, which could be ended
    assert result.exit_code == 0, result.output
    assert study_in(out).complete
    pd.testing.assert_frame_equal(numbers(out), numbers(classified[0]), check_exact=True)


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_an_unfinished_study_says_so(
    thinned: Thinned, small: list[str], tumours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget is over when dropout has been trained, and nothing else: an answer, from what there is."""
    search = "thinned.study.underway.Underway.search"
    from thinned.study.underway import Underway

    whole = Underway.search

    def cut(self: Underway) -> bool:
        whole(self)
        for config in [c for c in self.finished if c.level.arm not in ("dropout",)]:
            del self.finished[config]
        return False

    monkeypatch.setattr(search, cut)
    result = thinned("study", tumours, "--target", "target", "-o", tmp_path / "study", *small)
    assert result.exit_code == 0, result.output
    study = study_in(tmp_path / "study")
    assert (study.complete, study.stopped) == (False, "budget")


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="signals a process group")
@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN, reason="a shell has its background jobs ignore Ctrl-C"
)
def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(
    small: list[str], tumours: Path, tmp_path: Path, classified: tuple[Path, Result]
) -> None:
    """Stopped with two processes and finished with two: the same numbers as in one process and in one go."""
    out, uninterrupted = tmp_path / "study", classified[0]
    options = ["study", str(tumours), "--target", "target", "--out", str(out), *small, "--jobs", "2"]
    stopped = subprocess.run(
        [sys.executable, "-c", STOPPED, *options], capture_output=True, text=True, start_new_session=True, check=False
    )
    errors = stopped.stderr
    assert stopped.returncode == 130, errors
    assert "Traceback" not in errors
    found = re.search(r"Stopped\. (\d+) of about \d+ runs are in", errors)
    assert found is not None, errors
    assert f"Go on with: thinned study {tumours} --target target" in errors
    before = {path: path.stat().st_mtime_ns for path in (out / "arrays").glob("*.npz")}
    assert len(before) >= 2
    assert trials(out) == len(numbers(out)) < len(numbers(uninterrupted))

    result = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=True)
    assert "Report:" in result.stdout
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())  # nothing was run twice
    pd.testing.assert_frame_equal(numbers(out), numbers(uninterrupted), check_exact=True)
    assert (out / "curves.csv").read_bytes() == (uninterrupted / "curves.csv").read_bytes()


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("lost", [True, False])
def test_weights_that_the_record_lacks_are_trained_again(
    lost: bool, thinned: Thinned, small: list[str], tumours: Path, tmp_path: Path, classified: tuple[Path, Result]
) -> None:
    out = tmp_path / "study"
    shutil.copytree(classified[0], out)
    (out / "networks.safetensors").unlink()
    if lost:
        shutil.rmtree(out / "weights")
    result = thinned("study", tumours, "--target", "target", "-o", out, *small)
    assert result.exit_code == 0, result.output
    assert ("training networks to take away again" in result.stderr) == lost
    assert "training networks to take away again" not in classified[1].stderr
    for name in ("networks.safetensors", "runs.csv", "curves.csv"):
        assert (out / name).read_bytes() == (classified[0] / name).read_bytes()


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_another_seed_gives_other_numbers(
    thinned: Thinned, small: list[str], tumours: Path, tmp_path: Path, classified: tuple[Path, Result]
) -> None:
    out = tmp_path / "out"
    assert thinned("study", tumours, "--target", "target", "-o", out, *small, "--seed", "1").exit_code == 0
    both = numbers(out).merge(numbers(classified[0]), on="run")
    assert len(both) >= 16
    assert (both["val_nll_x"] != both["val_nll_y"]).all()


@pytest.mark.long
def test_from_python_the_numbers_are_the_same(
    tumours: Path, tmp_path: Path, classified: tuple[Path, Result]
) -> None:  # fmt: skip
    seen: list[Any] = []
    study = run_study(
        tumours, target="target", out=tmp_path / "out", hidden=(8,), epochs=3, seeds=4, ps=[0.3], lrs=[0.003, 0.01],
        weight_decays=[0.5], chapters="none", watch=seen.append,
    )  # fmt: skip
    pd.testing.assert_frame_equal(numbers(tmp_path / "out"), numbers(classified[0]), check_exact=True)
    known = {"seconds", "title"}
    assert study.model_dump(exclude=known) == study_in(classified[0]).model_dump(exclude=known)
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert seen[-1].doing == "writing the report"


def test_other_data_or_settings_in_the_same_folder_are_refused(
    thinned: Thinned, small: list[str], tumours: Path, classified: tuple[Path, Result], tmp_path: Path
) -> None:
    out = classified[0]
    before = (out / "runs.csv").read_bytes()
    result = thinned("study", tumours, "--target", "target", "--out", out, *small, "--hidden", "9", "--seed", "3")
    assert result.exit_code == 2
    assert "--hidden was 8, now 9" in said(result)
    assert "--seed was 0, now 3" in said(result)
    assert "Name another folder with --out" in said(result)
    changed = tumours.read_text().replace("17.99", "17.98", 1)
    (tmp_path / "tumours.csv").write_text(changed)
    result = thinned("study", tmp_path / "tumours.csv", "--target", "target", "--out", out, *small)
    assert result.exit_code == 2
    assert "data's fingerprint" in said(result)
    assert (out / "runs.csv").read_bytes() == before


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--p", "1.5"], "If 1.5 % was meant, pass 0.015."),
        (["--p", "0.1,much"], "`--p` must be numbers, as 0.1 or 0.1,0.2. Got '0.1,much'."),
        (["--column", "x=words"], "`--column` must be NAME=KIND, where KIND is number, level, date, text or ignore"),
        (["--sep", "ab", "--encoding", "utf-16"], "`--sep` must be one sign, or one of tab, comma"),
        (["--encoding", "utf-9"], "`--encoding` must be an encoding that Python knows"),
        (["nowhere.csv", "--target", "y"], "nowhere.csv: there is no such file or folder"),
    ],
)
def test_a_typo_is_told_before_anything_heavy_is_imported(options: list[str], message: str, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", LEAN, "study", *options, "--out", "out"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert found.returncode == 2
    assert message in found.stderr
    assert found.stdout.strip() == "[]"
    assert not list(tmp_path.iterdir())


def table(**columns: Any) -> str:
    rows = max(len(values) for values in columns.values())
    return pd.DataFrame({"x": range(rows), **columns}).to_csv(index=False)


@pytest.mark.parametrize(
    ("name", "content", "target", "message"),
    [
        ("data.dat", "x,t\n", "t", "must end in one of .csv"),
        ("data.txt", "x,t\n", "t", "is one long text, whose next words are asked for"),
        ("data.txt", "x,t\n", "t", "or call a table .csv or .tsv"),
        ("data.csv", None, "t", "there is no such file"),
        ("data.csv", "", "t", "could not be read"),
        ("data.csv", "x,t\n1,2\n1,2,3,4\n", "t", "could not be read: line 3 has 4 fields, the header has 2"),
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
        ("data.csv", table(y=[*range(49), "4o"], t=["a", "b"] * 25), "t", "the first in row 50: '4o' (line 51)"),
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
        (["--p", "0.1,1"], "`--p` must be a drop probability in [0, 1). Got 1.0"),
        (["--weight-decay", "0"], "`--weight-decay` must be a positive number; 0 is always tried"),
        (["--metric", "accuracy"], "`--metric` must be one of error, nll, brier"),
        (
            ["--metric", "rmse"],
            "`--metric` must be one of error, nll, brier, balanced-error, auc, f1, perplexity for classification",
        ),
        (["--budget", "soon"], "`--budget` must be a time, as 90s, 10m or 1h30m"),
        (["--budget", "0"], "`--budget` must be a time above 0"),
        (["--groups", "a", "--time", "b"], "--time with --groups"),
        (["--seeds", "1"], "one run can't tell an effect from luck"),
        (["--lr", "0"], "`--lr` must be a positive number"),
        (["--hidden", "big"], "whole numbers with commas"),
        (["--hidden", "0"], "1 or more"),
        (["--epochs", "0"], "`--epochs` must be at least 1"),
        (["--jobs", "0"], "`--jobs` must be at least 1"),
        (["--seed", "-1"], "`--seed` must be"),
        (["--train-rows", "5000"], "`--train-rows`"),
        (["--target", "label"], "`--target`: for a data file, not for images"),
    ],
)
def test_a_wrong_option_is_one_clear_error_and_nothing_is_written(
    thinned: Thinned, tmp_path: Path, options: list[str], message: str
) -> None:
    result = thinned("study", "--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert message in said(result)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(
    thinned: Thinned, small: list[str], tumours: Path, tmp_path: Path
) -> None:  # fmt: skip
    (tmp_path / "thesis.tex").write_text("years of work")
    for option in ("--out", "-o"):
        result = thinned("study", tumours, "--target", "target", option, tmp_path, *small)
        assert result.exit_code == 2
        assert "must be a new or empty folder" in said(result)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_the_default_data_are_five_thousand_digits(thinned: Thinned, tmp_path: Path) -> None:
    options = ["--hidden", "8", "--epochs", "1", "--seeds", "2", "--p", "0.2", "--lr", "0.01", "--jobs", "1"]
    result = thinned("study", "--out", tmp_path / "out", *options, "--weight-decay", "0.5")
    assert result.exit_code == 0, result.output
    study = study_in(tmp_path / "out")
    assert (study.rows_train, study.rows_val, study.rows_test) == (1000, 1000, 3000)
    assert (study.features, study.seeds, study.outer) == (784, 2, 1)
    assert study.classes == list("0123456789")


def test_loading_a_folder_without_a_study_says_so(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"has no config\.toml"):
        load(tmp_path)
