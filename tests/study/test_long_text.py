"""A study of one long text whose truth is known, through the public door, and what is left of it on new texts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from thinned.cli.app import app
from thinned.study import StudyError, load, run_study, score_text
from thinned.study.record import Study

pytestmark = pytest.mark.long
QUICK: dict[str, Any] = {"ps": [0.3], "lrs": [0.01], "weight_decays": [0.5], "seeds": 2, "hidden": [32]}


def determined(count: int) -> str:
    """Each word is the sum of the two before, modulo 13: two words say the next one, one leaves about two open."""
    numbers = [0, 1]
    while len(numbers) < count:
        numbers.append((numbers[-1] + numbers[-2]) % 13)
    return " ".join(f"n{number}" for number in numbers)


def by_chance(count: int, seed: int = 0) -> str:
    """Words of which each is drawn by itself, of ten."""
    return " ".join(f"n{number}" for number in np.random.default_rng(seed).integers(0, 10, count))


def studied(folder: Path, text: str, **options: Any) -> Study:
    (folder / "book.txt").write_text(text)
    found = run_study(folder / "book.txt", out=folder / "out", **QUICK | options)
    assert not found.failures
    assert found.next_word
    assert [item.title for item in found.baselines] == ["a unigram model", "an interpolated bigram model"]
    return found


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("network", ["lstm", "gru"])
def test_a_text_in_which_two_words_say_the_next_is_foretold(tmp_path: Path, network: str) -> None:
    found = studied(tmp_path, determined(2000), network=network, lrs=[0.03], epochs=14, chapters="convergence")
    assert found.network_kind == network
    assert [chapter.name for chapter in found.chapters] == ["convergence"]
    assert found.metric == "perplexity"
    assert found.chosen is not None
    assert found.chosen.metric.value < 1.15
    unigram, bigram = (item.metric.value for item in found.baselines)
    assert unigram == pytest.approx(8.5, rel=0.05)  # of the 28 words of a round
    assert 2.5 < bigram < 4  # which sees one word
    # A text of the same law goes on being foretold, and one of none is not.
    model = load(tmp_path / "out")
    table = score_text(model, determined(500))
    assert table["words"].tolist() == [100, 100, 100, 100, 99]
    assert table["first"].tolist() == [2, 102, 202, 302, 402]
    assert table["perplexity"].max() < 1.5
    assert (table["perplexity"] == np.exp(table["nll"])).all()
    assert score_text(model, by_chance(200))["perplexity"].min() > 20
    # Two words say the third.
    assert model.predict(pd.DataFrame({"text": ["n3 n5", "n8 n5 n0 n5 n5 n10"]})).tolist() == ["n8", "n2"]
    assert model.predict_proba(pd.DataFrame({"text": ["n3 n5"]})).shape == (1, 10)


@pytest.mark.usefixtures("undrawn")
def test_a_transformer_foretells_a_text_in_which_a_word_says_the_next(tmp_path: Path) -> None:
    numbers = [0]
    while len(numbers) < 1500:
        numbers.append((5 * numbers[-1] + 3) % 16)  # all sixteen, over and over
    text = " ".join(f"n{number}" for number in numbers)
    found = studied(tmp_path, text, network="transformer", hidden=[32, 32], lrs=[0.01], epochs=14, chapters="none")
    assert found.chosen is not None
    assert found.chosen.metric.value < 1.1
    unigram, bigram = (item.metric.value for item in found.baselines)
    assert unigram == pytest.approx(16, rel=0.02)
    assert bigram < 1.1


def test_where_words_are_drawn_one_by_one_nothing_helps(tmp_path: Path) -> None:
    found = studied(tmp_path, by_chance(3000), epochs=6, chapters="none")
    assert found.headline.startswith("Use none of these networks: no test perplexity below that of a constant answer")
    for item in found.baselines:
        assert item.metric.value == pytest.approx(10, rel=0.03)
    assert found.chosen is not None
    assert found.chosen.metric.value == pytest.approx(10, rel=0.1)
    assert all(level.calibration is None for level in found.levels)
    assert set(found.levels[0].figures) == {"error", "nll", "brier"}
    said = next(note for note in found.notes if "stretches" in note)
    assert "a stretch counts as one row" in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert "a stretch counts as one row" in page
    assert "neighbouring words are no independent rows" in page
    assert "an interpolated bigram model" in page
    # On the command line: stretches of a text, and next words of a table's rows.
    new = tmp_path / "new.txt"
    new.write_text(by_chance(250, seed=1))
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "out"), str(new), "--out", str(tmp_path / "p.csv")])
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "p.csv")
    assert list(table.columns) == ["first", "words", "begins", "unknown", "error", "nll", "perplexity"]
    assert table["perplexity"].mean() == pytest.approx(10, rel=0.15)
    rows = tmp_path / "rows.csv"
    rows.write_text('id,text\n1,"n1 n2 n3"\n2,n4 n5\n')
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "out"), str(rows), "--out", str(tmp_path / "r.csv")])
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "r.csv")
    assert table.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1)
    refused = CliRunner().invoke(app, ["predict", str(tmp_path / "out"), str(new), "--p", "0.1"])
    assert refused.exit_code == 2
    assert "`--p`: a text is scored by whole networks" in refused.output
    new.write_text("alone")
    refused = CliRunner().invoke(app, ["predict", str(tmp_path / "out"), str(new)])
    assert refused.exit_code == 2
    assert "`text` must have two words at least" in refused.output
    # What is saved is plain and checked.
    said_words = tomllib.loads((tmp_path / "out" / "config.toml").read_text())["members"][0]["words"]
    assert said_words["following"]
    assert len(said_words["known"]) == 10
    # The same command goes on, and trains nothing anew.
    again = studied(tmp_path, by_chance(3000), epochs=6, chapters="none")
    assert again.seconds == found.seconds


def test_hundreds_of_words_are_hundreds_of_classes(tmp_path: Path) -> None:
    """Words by Zipf's law, each followed by one of its own three: the report and the tables bear 501 classes."""
    rng = np.random.default_rng(0)
    behind, words = rng.integers(0, 900, (900, 3)), [0]
    while len(words) < 9000:
        words.append(int(behind[words[-1], rng.integers(3)]) if rng.random() < 0.6 else int(rng.zipf(1.3) % 900))
    found = studied(tmp_path, " ".join(f"n{n}" for n in words), epochs=4, chapters="none")
    assert len(found.classes) == 501
    assert found.chosen is not None
    assert 1 < found.chosen.metric.low < found.chosen.metric.value < found.chosen.metric.high
    (tmp_path / "rows.csv").write_text('text\n"n1 n2 n3"\n')
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "out"), str(tmp_path / "rows.csv"), "--n", "4"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0].count("p_n") == 500
    page = (tmp_path / "out" / "report.html").read_text()
    assert "next word, 501 classes" in page


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"network": "perceptron"}, "asked of networks that read words in their order: `--network` must be lstm"),
        ({"network": "cnn"}, "`--network cnn`: a convolution looks at pictures"),
        ({"metric": "auc"}, "`--metric` must be one of error, perplexity, nll, brier for a next word"),
        ({"chapters": "where"}, "`--chapters` must be of how-much, convergence, forms, schedules with --network lstm"),
    ],
)
def test_options_that_a_text_has_not(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    (tmp_path / "book.txt").write_text(determined(1200))
    with pytest.raises(StudyError, match=said):
        run_study(tmp_path / "book.txt", out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
