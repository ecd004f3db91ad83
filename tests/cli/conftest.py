"""Small real studies through the command line."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from tests.cli.finished import OPTIONS
from typer.testing import CliRunner, Result

from thinned.cli.app import app

Thinned = Callable[..., Result]


@pytest.fixture
def module_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Make a folder with a module of this name and source the current one; the command can import it from there."""

    def write(name: str, source: str) -> Path:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", sys.path.copy())
        monkeypatch.delitem(sys.modules, name, raising=False)
        return tmp_path

    return write


@pytest.fixture(scope="session")
def thinned() -> Thinned:
    """Run the command in this process."""

    def call(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Options of a study that takes a moment."""
    options = {"--hidden": "8", "--epochs": "3", "--seeds": "4", "--p": "0.3", "--weight-decay": "0.5", "--jobs": "1"}
    return [part for option in options.items() for part in option] + ["--lr", "0.003,0.01", "--chapters", "none"]


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """520 rows of two numbers and a class: one test set, where fewer than 500 would have four."""
    x = np.random.default_rng(0).normal(size=(520, 2))
    path = tmp_path_factory.mktemp("rows") / "data.csv"
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(x[:, 0] > 0, "up", "down")}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def finished(thinned: Thinned, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the smallest study, to which nothing has happened."""
    out = tmp_path_factory.mktemp("finished") / "out"
    assert thinned("study", rows, *OPTIONS, "--jobs", "1", "-o", out).exit_code == 0
    return out


@pytest.fixture(scope="session")
def tumours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Breast cancer, with text, missing values and a level that is rare."""
    frame = load_breast_cancer(as_frame=True).frame.iloc[:, [0, 1, 2, 3, 4, 30]]
    frame["target"] = frame["target"].map({0: "malignant", 1: "benign"})
    frame.insert(
        0, "size", pd.cut(frame["mean radius"], [0, 12, 15, 20, 99], labels=["small", "middle", "large", "huge"])
    )
    frame.loc[::7, "mean texture"] = None
    frame.loc[::11, "size"] = None
    path = tmp_path_factory.mktemp("tumours") / "tumours.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def classified(
    thinned: Thinned, small: list[str], tumours: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """A finished study of classes, with its learning rate searched."""
    out = tmp_path_factory.mktemp("out") / "study"
    return out, thinned("study", tumours, "--target", "target", "--out", out, *small)


@pytest.fixture(scope="session")
def regressed(
    thinned: Thinned, small: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:  # fmt: skip
    """A finished study of numbers, from Parquet, in four outer splits."""
    folder = tmp_path_factory.mktemp("regressed")
    load_diabetes(as_frame=True).frame.to_parquet(folder / "diabetes.parquet")
    out = folder / "study"
    return out, thinned("study", folder / "diabetes.parquet", "--target", "target", "-o", out, *small)
