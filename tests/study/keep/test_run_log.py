"""Runs in TensorBoard and MLflow: each once, with its curve, and never at the cost of a study."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thinned.study import StudyError, StudyWarning, run_study
from thinned.study.keep.run_log import LogOnce, run_name
from thinned.study.trial.config import Config, Level
from thinned.study.trial.outcome import Figures, Measured, Outcome

TINY: dict[str, Any] = {"target": "y", "hidden": (4,), "seeds": 2, "ps": [0.3], "weight_decays": [0.5]}
TINY |= {"lrs": [0.01], "chapters": "none"}


def outcome(seed: int, steps: int = 10) -> Outcome:
    none = np.zeros((0, 1), dtype=np.float32)
    figures = Figures(0.25, 0.5, 0.75)
    curve = (Measured(5, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6),)
    return Outcome(Config(Level("dropout", 0.3), 0.01, seed), 5, steps, "steps", curve, figures, figures, none, none, 1)


class Listed:
    """A log in memory, which may fail."""

    title, where, link = "A log", "here", "here/"

    def __init__(self, there: Collection[str] = (), fails: bool = False) -> None:
        self.there, self.fails = list(there), fails

    def names(self) -> Collection[str]:
        return list(self.there)

    def write(self, outcome: Outcome) -> None:
        if self.fails:
            raise OSError("the server is gone.\nmore")
        self.there.append(run_name(outcome))


def test_a_run_is_logged_once_and_again_where_it_went_on() -> None:
    log = Listed([run_name(outcome(0))])
    once = LogOnce(log)
    once.add([outcome(0), outcome(1)])
    once.add([outcome(1), outcome(1, 20)])
    assert log.there == [run_name(one) for one in (outcome(0), outcome(1), outcome(1, 20))]
    assert len(set(log.there)) == 3


def test_a_log_that_fails_is_named_once_and_takes_no_more() -> None:
    log = Listed(fails=True)
    once = LogOnce(log)
    with pytest.warns(StudyWarning, match=r"`--log`: A log takes no more runs: the server is gone\. ") as told:
        once.add([outcome(0), outcome(1)])
    assert len(told) == 1
    log.fails = False
    once.add([outcome(2)])
    assert log.there == []


def test_a_log_that_can_not_be_read_is_refused_at_the_start() -> None:
    log = Listed()
    log.names = lambda: 1 / 0  # type: ignore[assignment,method-assign,return-value]
    with pytest.raises(StudyError, match=r"`--log` must name a log .*A log: division by zero\. Mend this"):
        LogOnce(log)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x = np.random.default_rng(0).normal(size=(520, 2))
    path = tmp_path_factory.mktemp("rows") / "data.csv"
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(x[:, 0] > 0, "up", "down")}).to_csv(path, index=False)
    return path


def expected(out: Path) -> dict[str, list[tuple[int, float]]]:
    """Each run's training loss by step, as the study's own files have it."""
    runs = pd.read_csv(out / "runs.csv")
    curves = pd.read_csv(out / "curves.csv")
    found = {}
    for run, steps in zip(runs["run"], runs["steps"], strict=True):
        own = curves[curves["run"] == run]
        found[f"{run}-steps{steps}"] = list(zip(own["step"], own["train_loss"], strict=True))
    return found


@pytest.mark.frameworks
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_has_every_run_with_its_curve(rows: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed: pip install 'thinned[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "out"
    run_study(rows, out=out, epochs=1, **TINY)  # what is finished before is logged as well
    run_study(rows, out=out, epochs=2, log="tensorboard", **TINY)
    link = json.loads((out / "study.json").read_text())["log"]["link"]
    assert f'<a href="{link}">' in (out / "report.html").read_text()
    found = {}
    for path in (out / link).iterdir():
        events = EventAccumulator(str(path))
        events.Reload()
        found[path.name] = [(event.step, event.value) for event in events.Scalars("train/loss")]
        assert {"val/loss", "final/val_error"} <= set(events.Tags()["scalars"])
    same(found, expected(out))


@pytest.mark.frameworks
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_every_run_with_its_curve(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'thinned[mlflow]'")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    out = tmp_path / "out"
    run_study(rows, out=out, epochs=1, log="mlflow", **TINY)
    run_study(rows, out=out, epochs=1, log="mlflow", **TINY)  # nothing twice
    log = json.loads((out / "study.json").read_text())["log"]
    assert log["where"] in (out / "report.html").read_text()
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")
    [experiment] = [one for one in client.search_experiments() if one.name.startswith("out-")]
    found = {}
    for run in client.search_runs([experiment.experiment_id]):
        assert run.info.run_name not in found
        history = client.get_metric_history(run.info.run_id, "train/loss")
        found[run.info.run_name] = [(point.step, point.value) for point in history]
        assert run.data.params["arm"] in ("dropout", "decay", "both", "input")
    same(found, expected(out))


def same(found: dict[str, list[tuple[int, float]]], wanted: dict[str, list[tuple[int, float]]]) -> None:
    """Equal, but for the digits that float32 or a table leave out."""
    assert found.keys() == wanted.keys()
    for name, points in found.items():
        np.testing.assert_allclose(sorted(points), wanted[name], rtol=1e-4)


@pytest.mark.frameworks
@pytest.mark.parametrize("account", ["", "me:secret@"])
def test_a_server_that_is_not_there_is_refused_at_the_start(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: str
) -> None:
    """Its password is told to nobody."""
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'thinned[mlflow]'")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{account}127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StudyError, match=re.escape("MLflow at http://127.0.0.1:1: ")) as refused:
        run_study(rows, out=tmp_path / "out", epochs=1, log="mlflow", **TINY)
    assert "secret" not in str(refused.value)
