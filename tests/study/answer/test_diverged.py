"""A network that diverged is called so: it is neither chosen nor compared, wherever an answer is given."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from thinned.cli.app import app
from thinned.study import StudyError, load, run_study
from thinned.study.search.smooth import smooth
from thinned.study.trial.config import Config, Level, Recipe, Unit
from thinned.study.trial.fold import Fold
from thinned.study.trial.outcome import Figures, Measured, Outcome, diverged
from thinned.study.trial.unit import train_unit

Train = Callable[[Unit, Mapping[int, Fold], Recipe], list[Outcome]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x = np.random.default_rng(0).normal(size=(120, 2))
    path = tmp_path_factory.mktemp("data") / "data.csv"
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": x[:, 0] + 0.1 * x[:, 1]}).to_csv(path, index=False)
    return path


def outcome(ended: Any, best_step: int, nlls: list[float]) -> Outcome:
    figures, none = Figures(1.0, 1.5, 1.0), np.zeros((0, 1), dtype=np.float32)
    curve = tuple(Measured(10 * n, 1.0, 1.0, nll, 1.0, 1.0, 1.0) for n, nll in enumerate(nlls, 1))
    return Outcome(Config(Level("dropout"), 0.1, 0), best_step, 30, ended, curve, figures, figures, none, none, 1.0)


def test_which_training_fell_apart() -> None:
    assert diverged(outcome("diverged", 0, []))
    assert diverged(outcome("diverged", 100, [1.0]))
    assert diverged(outcome("steps", 0, [2.0, 9.0]))  # finite, and far worse than untrained
    assert not diverged(outcome("steps", 100, [2.0, 9.0]))  # a state of before is kept, and is good
    assert not diverged(outcome("converged", 0, [1.4, 1.2]))  # noise: learnt by heart, the first weights are the best
    assert not diverged(outcome("steps", 0, []))


def test_a_learning_rate_at_which_training_diverged_is_never_the_best_of_its_neighbours() -> None:
    found = smooth([[1.0, np.inf, 1.1], [0.1, 0.1, 0.1], [np.inf, np.inf, np.inf]])
    assert np.isinf(found[0, 1])
    assert np.isfinite(found[0, [0, 2]]).all()
    assert np.isinf(found[2]).all()


@pytest.mark.long
def test_where_all_diverge_there_is_no_answer_but_that(data: Path, tmp_path: Path) -> None:
    lr = "100"
    options = "--hidden 4 --epochs 20 --seeds 2 --p 0.3 --weight-decay 0.5 --jobs 1"
    command = ["study", str(data), "--target", "y", *options.split(), "--lr", lr, "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    said = " ".join(result.output.split())
    assert result.exit_code == 2, result.output
    assert re.search(rf"no answer: training diverged. p = 0 diverged at the learning rate {lr}: \d of 8 networks", said)
    assert "Pass lower learning rates as --lr" in said
    assert "within noise" not in said
    assert not (tmp_path / "out" / "config.toml").exists()
    assert len(pd.read_csv(tmp_path / "out" / "runs.csv"))


@pytest.mark.long
def test_a_level_that_diverged_has_no_figures_anywhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of its eight networks did, and it would have been the best."""

    def train(unit: Unit, folds: Mapping[int, Fold], recipe: Recipe) -> list[Outcome]:
        found = []
        for each in train_unit(unit, folds, recipe):
            if each.config.level.p == 0.2 and each.config.level.arm == "dropout":
                ended: Any = "diverged" if each.config.seed == 1 else each.ended
                each = replace(each, ended=ended, val=Figures(0.0, 0.0, 0.0))
            found.append(each)
        return found

    monkeypatch.setattr("thinned.study.underway.train_unit", train)
    out = tmp_path / "out"
    options: dict[str, Any] = {"hidden": (4,), "epochs": 3, "seeds": 2, "lrs": [0.01], "weight_decays": [0.5]}
    study = run_study(data, target="y", out=out, ps=[0.2, 0.4], **options)
    [apart] = study.diverged
    assert (apart.name, apart.lrs, apart.networks, apart.seeds) == ("p = 0.2", [0.01], 1, 8)
    assert "p = 0.2" not in {f"p = {level.p:g}" for level in study.levels if level.arm == "dropout"}
    assert not [item for item in study.differences if "p = 0.2" in (item.first, item.second)]
    assert not [item for item in study.ranges if 0.2 in item.ps]
    assert study.best_p == 0.4
    assert study.network is not None
    assert study.network.p != 0.2 or study.network.arm != "dropout"
    sentence = "p = 0.2 diverged at the learning rate 0.01: 1 of 8 networks fell apart, so it is neither compared"
    assert [said for said in study.warnings if said.startswith(sentence)]
    page = " ".join((out / "report.html").read_text().replace("\u00a0", " ").split())
    assert sentence in page
    assert "<td>diverged" in page
    monkeypatch.undo()
    command = ["study", str(data), "--target", "y", "--jobs", "1", "--hidden", "4", "--epochs", "3", "--seeds", "2"]
    command += ["--lr", "0.01", "--weight-decay", "0.5", "--p", "0.2,0.4", "-o", str(out)]
    result = CliRunner().invoke(app, command)
    assert "Note first: p = 0.2 diverged" in " ".join(result.output.split())
    assert any("p = 0.2" in line and "diverged" in line for line in result.stdout.splitlines() if "\u2502" in line)
    runs = pd.read_csv(out / "runs.csv")
    assert set(runs[runs["ended"] == "diverged"]["run"].str.slice(0, 12)) == {"dropout-p0.2"}
    values = load(out).predict(pd.read_csv(data))
    assert np.isfinite(values).all()
    assert json.loads((out / "study.json").read_text())["diverged"][0]["networks"] == 1


def test_an_answer_that_is_no_number_is_refused(tmp_path: Path) -> None:
    from tests.study.data.test_numbers_come_in import model

    far = pd.DataFrame({"a": [1.0, 1e30], "b": [1.0, 1e30]})
    found = model()
    with torch.no_grad():
        next(found.networks[0].parameters()).mul_(1e10)
    with pytest.raises(StudyError, match="the answer to row 2 is no finite number"):
        found.predict(far)
