"""Each network through the public door: it learns a task that it can learn, is loaded, and predicts new files."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from thinned.cli.app import app
from thinned.study import StudyError, load, run_study
from thinned.study.record import Study

GOOD = ("great", "lovely", "superb", "tasty", "perfect", "fine")
BAD = ("awful", "stale", "bitter", "nasty", "broken", "poor")
FILL = ("a", "this", "it", "was", "and", "coffee", "tea", "box", "we", "bought", "taste", "with", "for", "my", "dog")
QUICK: dict[str, Any] = {"ps": [0.3], "lrs": [0.01], "weight_decays": [0.5], "seeds": 2, "jobs": 1, "chapters": "none"}
# What a guess would do: 9 of 10 wrong on the digits, half of the reviews.
CHANCE = {"digits": 0.9, "reviews": 0.5}


def write_digits(folder: Path, rows: int) -> None:
    """Scikit-learn's real digits as a folder of pictures for each."""
    digits = load_digits()
    for number, (values, digit) in enumerate(zip(digits.images[:rows], digits.target, strict=False)):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((values * 255 / 16).astype(np.uint8)).save(folder / str(digit) / f"{number:04}.png")


def reviews(rows: int, seed: int = 0) -> pd.DataFrame:
    """Texts of which two words in about a dozen say the class, without noise: the truth is known."""
    draw = random.Random(seed)
    found = []
    for row in range(rows):
        words = draw.choices(FILL, k=draw.randint(6, 12))
        for word in draw.choices((BAD, GOOD)[row % 2], k=2):
            words.insert(draw.randrange(len(words)), word)
        found.append((" ".join(words) + ".", ("bad", "good")[row % 2]))
    return pd.DataFrame(found, columns=["review", "stars"])


def predicted(model: Path, data: Path) -> pd.DataFrame:
    out = data.parent / "predicted.csv"
    result = CliRunner().invoke(app, ["predict", str(model), str(data), "--out", str(out), "--n", "4"])
    assert result.exit_code == 0, result.output
    return pd.read_csv(out, dtype={"prediction": str})


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("network", "epochs", "hidden", "worst"),
    [
        ("cnn", 8, (8, 16), 0.35),
        ("lstm", 8, (32,), 0.1),
        ("gru", 8, (32,), 0.1),
        ("transformer", 8, (32,), 0.1),
        ("perceptron", 10, (16,), 0.1),
    ],
)
def test_each_network_learns_and_is_taken_away(
    tmp_path: Path, network: str, epochs: int, hidden: tuple[int, ...], worst: float
) -> None:
    task = "digits" if network == "cnn" else "reviews"
    options: dict[str, Any] = {}
    if task == "digits":
        write_digits(tmp_path / "digits", 300)
        data = tmp_path / "digits"
    else:
        reviews(500).to_csv(tmp_path / "reviews.csv", index=False)
        data, options = tmp_path / "reviews.csv", {"target": "stars"}
    out = tmp_path / "out"
    found = run_study(data, network=network, epochs=epochs, hidden=hidden, out=out, **QUICK, **options)
    assert found.network_kind == network
    best = min(level.error.value for level in found.levels)
    assert best < worst < CHANCE[task]
    assert Study.model_validate_json((out / "study.json").read_bytes()) == found
    assert tomllib.loads((out / "config.toml").read_text())["network"].get("kind", "perceptron") == network
    model = load(out)
    if task == "digits":
        digits = load_digits()
        new = digits.images[450:650] * 255 / 16
        truth = digits.target[450:650].astype(str)
        assert (model.predict(new.astype(np.uint8)) != truth).mean() < worst
        folder = tmp_path / "new"
        folder.mkdir()
        for number, values in enumerate(new[:20]):
            Image.fromarray(values.astype(np.uint8)).save(folder / f"{number:02}.png")
        table = predicted(out, folder)
        assert [Path(name).name for name in table["file"]] == [f"{number:02}.png" for number in range(20)]
        assert table["prediction"].tolist() == model.predict(new[:20].astype(np.uint8)).tolist()
    else:
        fresh = reviews(100, seed=1)
        assert (model.predict(fresh) != fresh["stars"]).mean() < worst
        fresh[["review"]].to_csv(tmp_path / "new.csv", index=False)
        table = predicted(out, tmp_path / "new.csv")
        assert table["prediction"].tolist() == model.predict(fresh).tolist()
        unknown = pd.DataFrame({"review": ["", "zzz qqq", None]})
        assert np.isfinite(model.predict_proba(unknown)).all()
    again = run_study(data, network=network, epochs=epochs, hidden=hidden, out=out, **QUICK, **options)
    assert again.levels == found.levels  # from the record: nothing is trained twice


@pytest.mark.long
@pytest.mark.usefixtures("undrawn")
def test_equal_calls_give_equal_numbers_in_any_process(tmp_path: Path) -> None:
    reviews(500).to_csv(tmp_path / "reviews.csv", index=False)
    options = QUICK | {"epochs": 2, "hidden": (8,), "network": "gru", "target": "stars"}
    one = run_study(tmp_path / "reviews.csv", out=tmp_path / "one", **options)
    two = run_study(tmp_path / "reviews.csv", out=tmp_path / "two", **options | {"jobs": 2})
    assert one.levels == two.levels


@pytest.mark.parametrize(
    ("network", "hidden", "said"),
    [
        ("cnn", None, "a convolution looks at pictures, and these data have none"),
        ("lstm", (8, 4), "layers of --network lstm must have one width, as 64,64. Got 8, 4."),
        ("transformer", (24,), "must be a multiple of 16. Got 24."),
        ("rnn", None, "`--network` must be one of perceptron, cnn, lstm, gru, transformer. Got rnn."),
    ],
)
def test_a_network_for_other_data_or_layers_is_refused_and_nothing_is_written(
    tmp_path: Path, network: str, hidden: tuple[int, ...] | None, said: str
) -> None:
    reviews(60).to_csv(tmp_path / "reviews.csv", index=False)
    with pytest.raises(StudyError) as refused:
        run_study(tmp_path / "reviews.csv", target="stars", network=network, hidden=hidden, out=tmp_path / "out")
    assert said in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_words_are_for_texts(tmp_path: Path) -> None:
    pd.DataFrame({"x": np.arange(60.0) ** 2, "y": ["a", "b"] * 30}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(StudyError, match="these data have no text"):
        run_study(tmp_path / "t.csv", target="y", network="gru", out=tmp_path / "out")
