"""`thinned study --model`: a model of the user's on the user's data, and each mistake in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.study.report.reading import PageReader
from typer.testing import CliRunner

import thinned
from thinned.cli.app import app

MODULE = """
import torch

def build(inputs, outputs, width=16):
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, width), torch.nn.ReLU(), torch.nn.Dropout(0.1),
        torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, outputs))

def images(inputs, outputs):
    assert inputs == (1, 28, 28), inputs
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, stride=4), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3, stride=4), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(64, outputs))

def deep(depth): pass
def nothing(): pass
def wrong(inputs): return torch.nn.Sequential(torch.nn.Linear(inputs, 5), torch.nn.Dropout(0.1))
def narrow(outputs): return torch.nn.Linear(3, outputs)
def shown(inputs, outputs): raise RuntimeError(f"{inputs} and {outputs}")
def failing(): raise RuntimeError("no such layer")
def linear(inputs, outputs): return torch.nn.Linear(inputs, outputs)
three = 3
"""
RUN = ("--p", "0.3", "--lr", "0.003", "--seeds", "2")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table and a module of the user's, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_net.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.delitem(__import__("sys").modules, "own_net", raising=False)
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 4))
    table = pd.DataFrame(x, columns=list("abcd")).assign(sick=np.where(x[:, 0] + x[:, 1] > 0, "yes", "no"))
    table.assign(dose=2 * x[:, 0]).to_csv("rows.csv", index=False)
    return tmp_path


def study(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["study", *arguments])


@pytest.mark.long
def test_a_model_is_tuned_on_a_table(folder: Path) -> None:
    found = study(
        "rows.csv", "--target", "sick", "--column", "dose=ignore", "--model", "own_net:build", "--epochs", "20", *RUN
    )
    assert found.exit_code == 0, found.output
    assert "Dropout for Sequential: take the rates" in found.output
    assert "as the plan has it" in found.output
    assert "test error" in found.output
    out = folder / "thinned-study"
    assert f"figures: {Path('thinned-study') / 'report.html'}" in found.output
    page = (out / "report.html").read_text(encoding="utf-8")
    read = PageReader(page)
    assert "What chose is validation loss; what judges is test error, on 2 seeds" in read.words
    assert "Every training had the learning rate 0.003." in read.words
    assert "rows.csv" in read.words
    lines = (out / "tune.txt").read_text(encoding="utf-8").splitlines()[-2:]
    import own_net  # type: ignore[import-not-found]

    model = own_net.build(4, 2)
    exec("\n".join(lines), {"thinned": thinned, "model": model})
    loaded = own_net.build(4, 2)
    thinned.load_rates(loaded, out / "rates.toml")
    assert set(thinned.rates(model)) == {"2", "4.thinned_output"}  # its own dropout, and the plan's
    assert thinned.rates(model) == thinned.rates(loaded)
    again = study(
        "rows.csv", "--target", "sick", "--column", "dose=ignore", "--model", "own_net:build", "--epochs", "20", *RUN
    )
    assert "runs, training" not in again.output  # nothing is trained twice
    assert (out / "report.html").read_text(encoding="utf-8") == page
    assert again.output.splitlines()[-3:] == found.output.splitlines()[-3:]
    other = study(
        "rows.csv",
        "--target",
        "sick",
        "--column",
        "dose=ignore",
        "--model",
        "own_net:build(width=20)",
        "--epochs",
        "20",
        *RUN,
    )
    assert other.exit_code == 2
    assert "holds a study with other settings: model was own_net:build" in other.output.replace("\n", " ")


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ("rows.csv", "--target", "dose", "--model", "own_net:build"),
        ("--model", "own_net:images", "--train-rows", "100"),
    ],
    ids=["numbers", "images"],
)
def test_numbers_and_images(folder: Path, arguments: tuple[str, ...]) -> None:
    found = study(*arguments, "--epochs", "5", *RUN)
    assert found.exit_code == 0, found.output
    assert ("test rmse" if "dose" in arguments else "convolution maps") in found.output


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nowhere:build", "there is no module 'nowhere'"),
        ("own_net:absent", "own_net has no 'absent'. It has build"),
        ("own_net", "must be package.module:factory"),
        ("own_net:three", "must name a function that builds a model. Got a int"),
        ("own_net:deep", "no arguments but `inputs` and `outputs`. It needs depth"),
        ("own_net:nothing", "must give a torch.nn.Module. It gave NoneType"),
        ("own_net:wrong", "a logit for each of 2 classes, (8, 2) for a batch of 8. It gave (8, 5)"),
        ("own_net:narrow", "must take a batch of these data, (8, 4). It fails: RuntimeError"),
        ("own_net:failing", "own_net:failing fails: RuntimeError: no such layer"),
        ("own_net:linear", "must have a place for dropout"),
        ("own_net:build(inputs=3, outputs=2)", "must take a batch of these data, (8, 4)"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_model_that_cannot_be_used_is_told_in_a_sentence(model: str, said: str) -> None:
    found = study("rows.csv", "--target", "sick", "--column", "dose=ignore", "--model", model)
    assert found.exit_code == 2
    assert said in " ".join(found.output.split())
    assert "Traceback" not in found.output
    assert not Path("thinned-study").exists()


@pytest.mark.parametrize(
    "option",
    [
        ("--hidden", "8"),
        ("--jobs", "2"),
        ("--budget", "1m"),
        ("--weight-decay", "0.1"),
        ("--network", "cnn"),
        ("--chapters", "where"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_options_of_the_studys_own_networks_are_refused(option: tuple[str, str]) -> None:
    found = study("rows.csv", "--target", "sick", "--column", "dose=ignore", "--model", "own_net:build", *option)
    assert found.exit_code == 2
    assert f"`--model`: {option[0]}" in found.output.replace("`--jobs`", "--jobs")


def test_pictures_come_as_torch_has_them_and_texts_as_counts_of_words(folder: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(folder / "pictures.npz", X=random.integers(0, 256, (40, 12, 10, 3), dtype=np.uint8), y=np.arange(40) % 4)
    said = " ".join(study("pictures.npz", "--model", "own_net:shown").output.split())
    assert "RuntimeError: (3, 12, 10) and 4" in said
    texts = [f"{'good' if n % 2 else 'bad'} thing number {n}" for n in range(60)]
    pd.DataFrame({"review": texts, "liked": np.arange(60) % 2}).to_csv(folder / "reviews.csv", index=False)
    said = " ".join(study("reviews.csv", "--target", "liked", "--model", "own_net:shown").output.split())
    assert "and 2. Mend it" in said
    assert "RuntimeError: (" not in said  # a number of columns
