"""`thinned predict` from outside: a row for each row, whole files, and what it refuses.

The networks are trained in a moment, so that this does not wait for a study.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import entr
from sklearn.datasets import load_diabetes
from tests.cli.networks import trained
from typer.testing import Result

from thinned.study import Dataset, load

Thinned = Callable[..., Result]


@pytest.fixture(scope="module")
def sorts(tumours: Path) -> Dataset:
    frame = pd.read_csv(tumours)
    y = (frame.pop("target") == "malignant").to_numpy().astype(np.int64)
    return Dataset("tumours", str(tumours), "classification", "target", frame, y, ("benign", "malignant"))


@pytest.fixture(scope="module")
def classified(sorts: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(sorts, tmp_path_factory.mktemp("classified") / "study", p=0.3, seeds=3)


@pytest.fixture(scope="module")
def progress() -> Dataset:
    """Diabetes: every other row to learn from."""
    frame = load_diabetes(as_frame=True).frame.iloc[::2]
    y = frame.pop("target").to_numpy().astype(np.float64)
    return Dataset("diabetes", "scikit-learn", "regression", "progress", frame, y)


@pytest.fixture(scope="module")
def regressed(progress: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(progress, tmp_path_factory.mktemp("regressed") / "study", p=0.2, seeds=4)


@pytest.fixture(scope="module")
def rows(tumours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New rows: 40 of the table, columns in another order, one more, no target, a level that is new."""
    frame = pd.read_csv(tumours).iloc[::14].head(40).drop(columns="target")
    frame = frame[frame.columns[::-1]].assign(note="x")
    frame.loc[frame.index[3], "size"] = "giant"
    path: Path = tmp_path_factory.mktemp("rows") / "rows.csv"
    frame.to_csv(path, index=False)
    return path


def table(result: Result) -> pd.DataFrame:
    assert result.exit_code == 0, result.output
    return pd.read_csv(io.StringIO(result.stdout))


def test_classes(thinned: Thinned, classified: Path, rows: Path) -> None:
    found = table(thinned("predict", classified, rows, "--n", 20, "--seed", 7))
    assert list(found.columns) == [
        "prediction", "probability", "p_benign", "p_malignant", "entropy", "mutual_information", "variation_ratio",
    ]  # fmt: skip
    model, frame = load(classified), pd.read_csv(rows)
    probability = model.predict_proba(frame)
    assert len(found) == 40
    assert found["prediction"].tolist() == model.predict(frame).tolist()
    assert found[["p_benign", "p_malignant"]].to_numpy() == pytest.approx(probability, rel=1e-9)
    assert found["probability"].to_numpy() == pytest.approx(probability.max(axis=1), rel=1e-9)
    assert found["entropy"].to_numpy() == pytest.approx(entr(probability).sum(axis=1), rel=1e-9)
    assert (found["mutual_information"] > 0).all()
    assert found["variation_ratio"].between(0, 0.5).all()
    again, other = (thinned("predict", classified, rows, "--n", 20, "--seed", seed) for seed in (7, 8))
    assert table(again).equals(found)
    new = table(other)
    assert new.iloc[:, :5].equals(found.iloc[:, :5])  # nothing in the prediction is drawn
    assert not new["mutual_information"].equals(found["mutual_information"])


def test_numbers_in_the_target_s_units(thinned: Thinned, regressed: Path, tmp_path: Path) -> None:
    frame = load_diabetes(as_frame=True).frame.iloc[1::2]
    frame.drop(columns="target").to_parquet(tmp_path / "new.parquet")
    result = thinned("predict", regressed, tmp_path / "new.parquet", "--n", 200, "-o", tmp_path / "found.json")
    assert result.exit_code == 0, result.output
    assert "221 rows are in" in result.output
    found = pd.DataFrame(json.loads((tmp_path / "found.json").read_text()))
    assert list(found.columns) == [
        "prediction", "low95", "high95", "spread", "network_q0.05", "network_q0.5", "network_q0.95",
    ]  # fmt: skip
    model = load(regressed)
    assert found["prediction"].to_numpy() == pytest.approx(model.predict(frame), rel=1e-9)
    assert found[["low95", "high95"]].to_numpy() == pytest.approx(model.predict_interval(frame), rel=1e-9)
    assert (found["spread"] > 0).all()
    # New patients: as many in the interval as a binomial law of 95 % gives with probability 99.9 %; not so for the
    # networks' own quantiles, which know nothing of the noise.
    target = frame["target"].to_numpy()
    assert 199 <= ((found["low95"] <= target) & (target <= found["high95"])).sum() <= 220
    assert ((found["network_q0.05"] <= target) & (target <= found["network_q0.95"])).mean() < 0.7
    assert [name.name for name in tmp_path.iterdir() if "part" in name.name] == []


def test_without_dropout_the_seeds_networks_differ(
    thinned: Thinned, sorts: Dataset, rows: Path, tmp_path: Path
) -> None:
    plain = trained(sorts, tmp_path / "plain", p=0.0, seeds=3, steps=20)
    found = table(thinned("predict", plain, rows))
    assert (found["mutual_information"] > 0).any()
    assert set((found["variation_ratio"] * 3).round(9)) <= {0.0, 1.0}
    assert table(thinned("predict", plain, rows, "--seed", 5, "--n", 7)).equals(found)
    dropped = table(thinned("predict", plain, rows, "--p", 0.2))
    assert dropped.iloc[:, :5].equals(found.iloc[:, :5])
    assert (dropped["mutual_information"] > found["mutual_information"]).mean() > 0.5


def test_one_network_without_dropout_says_that_it_can_t_differ(
    thinned: Thinned, progress: Dataset, tmp_path: Path
) -> None:
    alone = trained(progress, tmp_path / "alone", p=0.0, seeds=1, steps=5)
    progress.features.head(3).to_csv(tmp_path / "new.csv", index=False)
    result = thinned("predict", alone, tmp_path / "new.csv", "--format", "csv", "-o", tmp_path / "found.csv")
    assert "one network without dropout can't differ from others" in result.stderr
    assert "--p" not in result.stderr  # no advice that leads back here
    dropped = table(thinned("predict", alone, tmp_path / "new.csv", "--p", 0.1, "--n", 5))
    assert (dropped["spread"] > 0).all()
    found = pd.read_csv(tmp_path / "found.csv")
    assert found["spread"].tolist() == [0.0, 0.0, 0.0]
    assert (found["low95"] < found["prediction"]).all()


def test_formats(thinned: Thinned, classified: Path, rows: Path) -> None:
    as_json = json.loads(thinned("predict", classified, rows, "--n", 5, "--format", "json").stdout)
    as_csv = table(thinned("predict", classified, rows, "--n", 5, "--format", "csv"))
    assert [row["prediction"] for row in as_json] == as_csv["prediction"].tolist()
    text = thinned("predict", classified, rows, "--n", 5, "--format", "text").stdout
    assert "prediction" in text
    assert "mutual" in text


def test_what_it_refuses(thinned: Thinned, classified: Path, rows: Path, tmp_path: Path) -> None:
    lacking = tmp_path / "lacking.csv"
    pd.read_csv(rows).drop(columns=["size", "mean area"]).to_csv(lacking, index=False)
    empty = tmp_path / "empty.csv"
    pd.read_csv(rows).head(0).to_csv(empty, index=False)
    for arguments, said in (
        ((tmp_path / "nowhere", rows), "Pass the folder of a finished study"),
        ((classified, tmp_path / "none.csv"), "none.csv"),
        ((classified, lacking), "Missing: size, mean area."),
        ((classified, empty), "none"),
        ((classified, rows, "--p", "1.5"), "`p` must be"),
        ((classified, rows, "--out", tmp_path / "no" / "where.csv"), "where.csv"),
    ):
        result = thinned("predict", *arguments, "--n", 3)
        assert result.exit_code == 2, arguments
        assert said in " ".join(result.output.split()), result.output
        assert "Traceback" not in result.output
