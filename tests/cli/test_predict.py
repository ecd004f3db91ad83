"""`thinned predict` from outside: a table a row, whole files, and what it refuses."""

from __future__ import annotations

import io
import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
import torch
from sklearn.datasets import load_diabetes
from typer.testing import Result

import thinned as package
from thinned.study import load

Thinned = Callable[..., Result]


@pytest.fixture(scope="session")
def rows(tumours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New rows: 40 of the table, columns in another order, one more, no target, a level that is new."""
    frame = pd.read_csv(tumours).iloc[::14].head(40).drop(columns="target")
    frame = frame[frame.columns[::-1]].assign(note="x")
    frame.loc[frame.index[3], "size"] = "giant"
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    frame.to_csv(path, index=False)
    return path


def dropping(study: Path, p: float, folder: Path) -> Path:
    """The study's network with this p, whichever the study chose."""
    shutil.copytree(study, folder)
    config = folder / "config.toml"
    facts = tomllib.loads(config.read_text())
    facts["network"] |= {"p": p, "p_input": 0.0}
    config.write_text(tomli_w.dumps(facts))
    return folder


def test_classes(thinned: Thinned, classified: tuple[Path, Result], rows: Path, tmp_path: Path) -> None:
    folder = dropping(classified[0], 0.3, tmp_path / "study")
    result = thinned("predict", folder, rows, "--n", 20, "--seed", 7)
    assert result.exit_code == 0, result.output
    found = pd.read_csv(io.StringIO(result.stdout))
    assert list(found.columns) == [
        "prediction", "probability", "q0.05", "q0.5", "q0.95", "entropy", "mutual_information", "variation_ratio",
    ]  # fmt: skip
    model = load(folder)
    frame = pd.read_csv(rows)
    x = torch.from_numpy(model.preparation(frame))
    expected = package.predict(model.network, x, 20, seed=7, task="classification")
    assert len(found) == 40
    assert found["prediction"].tolist() == [model.classes[label] for label in expected.label.tolist()]
    for name in ("entropy", "mutual_information", "variation_ratio"):
        assert np.allclose(found[name], getattr(expected, name), atol=1e-5)
    assert (found["probability"].between(0.5 - 1e-6, 1)).all()
    assert (found["q0.05"] <= found["q0.95"]).all()
    assert thinned("predict", folder, rows, "--n", 20, "--seed", 7).stdout == result.stdout
    assert thinned("predict", folder, rows, "--n", 20, "--seed", 8).stdout != result.stdout


def test_numbers_in_the_target_s_units(thinned: Thinned, regressed: tuple[Path, Result], tmp_path: Path) -> None:
    folder = dropping(regressed[0], 0.2, tmp_path / "study")
    frame = load_diabetes(as_frame=True).frame.head(30)
    frame.drop(columns="target").to_parquet(tmp_path / "new.parquet")
    result = thinned("predict", folder, tmp_path / "new.parquet", "--n", 200, "-o", tmp_path / "found.json")
    assert result.exit_code == 0, result.output
    assert "30 rows are in" in result.output
    found = pd.DataFrame(json.loads((tmp_path / "found.json").read_text()))
    assert list(found.columns) == ["prediction", "std", "q0.05", "q0.5", "q0.95"]
    plain = load(folder).predict(frame)
    # The networks' mean is near weight scaling's answer, in the same units: six standard errors and a tenth of a std.
    assert (np.abs(found["prediction"] - plain) < found["std"] * (6 / 200**0.5 + 0.5)).all()
    assert (found["std"] > 0).all()
    assert [name.name for name in tmp_path.iterdir() if "part" in name.name] == []


def test_formats(thinned: Thinned, classified: tuple[Path, Result], rows: Path, tmp_path: Path) -> None:
    folder = dropping(classified[0], 0.3, tmp_path / "study")
    as_json = json.loads(thinned("predict", folder, rows, "--n", 5, "--format", "json").stdout)
    as_csv = pd.read_csv(io.StringIO(thinned("predict", folder, rows, "--n", 5, "--format", "csv").stdout))
    assert [row["prediction"] for row in as_json] == as_csv["prediction"].tolist()
    text = thinned("predict", folder, rows, "--n", 5, "--format", "text").stdout
    assert "prediction" in text
    assert "mutual" in text


def test_what_it_refuses(thinned: Thinned, classified: tuple[Path, Result], rows: Path, tmp_path: Path) -> None:
    folder = dropping(classified[0], 0.3, tmp_path / "study")
    quiet = dropping(classified[0], 0.0, tmp_path / "quiet")
    lacking = tmp_path / "lacking.csv"
    pd.read_csv(rows).drop(columns=["size", "mean area"]).to_csv(lacking, index=False)
    empty = tmp_path / "empty.csv"
    pd.read_csv(rows).head(0).to_csv(empty, index=False)
    for arguments, said in (
        ((tmp_path / "nowhere", rows), "Pass the folder of a finished study"),
        ((folder, tmp_path / "none.csv"), "none.csv"),
        ((folder, lacking), "Missing: size, mean area."),
        ((folder, empty), "none"),
        ((quiet, rows), "has p = 0, so that nothing is random and it can't say how sure it is. Pass --p 0.1"),
        ((folder, rows, "--p", "1.5"), "`p` must be"),
        ((folder, rows, "--out", tmp_path / "no" / "where.csv"), "where.csv"),
    ):
        result = thinned("predict", *arguments, "--n", 3)
        assert result.exit_code == 2, arguments
        assert said in " ".join(result.output.split()), result.output
        assert "Traceback" not in result.output
    with_p = thinned("predict", quiet, rows, "--n", 10, "--p", 0.2)
    assert with_p.exit_code == 0, with_p.output
    assert (pd.read_csv(io.StringIO(with_p.stdout))["mutual_information"] > 0).any()
