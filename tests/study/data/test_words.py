"""Texts as words: which column is one, which words are known, and that training rows alone decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thinned.study.data.dataset import StudyError
from thinned.study.data.fit import fit
from thinned.study.data.overrule import WantedColumn
from thinned.study.data.source import open_data
from thinned.study.data.words import WordsPlan, learn_words, plan_words, words_of
from thinned.study.networks.named import made
from thinned.study.networks.shape import InputShape

TEXTS = [f"a good thing number {row} it is" if row % 2 else f"one bad thing of sort {row}" for row in range(60)]
MORE = {"review": TEXTS, "price": np.arange(60.0) % 7, "stars": [row % 2 for row in range(60)]}


def written(folder: Path, table: dict[str, object]) -> Path:
    pd.DataFrame(table).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't buy it, ever!", ["don't", "buy", "it", ",", "ever", "!"]),
        ("\ub9db\uc788\ub294 \ucee4\ud53c", ["\ub9db\uc788\ub294", "\ucee4\ud53c"]),
        ("\u597d\u5403ABC", ["\u597d", "\u5403", "abc"]),
        ("  \n", []),
        (None, []),
        ("3.5 stars", ["3", ".", "5", "stars"]),
    ],
)
def test_words_of_a_text(text: str | None, words: list[str]) -> None:
    assert words_of(text) == words


def test_a_text_that_is_the_only_feature_is_found(tmp_path: Path) -> None:
    data = open_data(written(tmp_path, {"review": TEXTS, "stars": MORE["stars"]}), "stars")
    assert data.words == "review"
    assert not data.warnings


def test_beside_other_columns_a_text_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, MORE)
    assert open_data(path, "stars").words is None
    data = open_data(path, "stars", wanted=(WantedColumn.of("review=text"),))
    assert (data.words, list(data.features)) == ("review", ["review", "price"])


def test_levels_of_one_or_two_words_are_no_text(tmp_path: Path) -> None:
    path = written(tmp_path, {"colour": ["light red", "deep blue", "green"] * 20, "y": [0, 1] * 30})
    assert open_data(path, "y").words is None


def test_two_texts_and_a_text_as_target_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, MORE | {"title": TEXTS[::-1]})
    both = (WantedColumn.of("review=text"), WantedColumn.of("title=text"))
    with pytest.raises(StudyError, match=r"one column can be text, whose words are read\. Got review and title"):
        open_data(path, "stars", wanted=both)
    with pytest.raises(StudyError, match="the target must be number or level"):
        open_data(path, "stars", wanted=(WantedColumn.of("stars=text"),))


def test_only_training_texts_decide_which_words_are_known() -> None:
    plan = plan_words("t", ["a b b", "a b", "c"], ordered=True)
    assert plan == WordsPlan("t", 2, 3)
    words = learn_words(plan, ["a b b", "a b", "c"])
    assert words.known == ("a", "b")  # c stands in one text
    assert words(["b a new", "", None, "a a a a a"]).tolist() == [[3, 2, 1], [0, 0, 0], [0, 0, 0], [2, 2, 2]]
    bag = learn_words(WordsPlan("t", 4, 0), ["a b b", "a b", "c"])
    assert bag(["b b new", None]).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]


def test_plain_numbers_stand_in_front_of_words() -> None:
    frame = pd.DataFrame(MORE).drop(columns="stars")
    prepared = fit(frame, plan=WordsPlan("review", 8, 5))
    x = prepared(frame)
    assert prepared.plain_inputs == 1
    assert x.shape == (60, 6)
    assert x[:, 1:].max() < 10
    assert abs(float(x[:, 0].mean())) < 1e-6
    network = made("transformer", InputShape(1, words=10, length=5), (16,), 2, 0.1).eval()
    import torch

    assert network(torch.from_numpy(x)).shape == (60, 2)
