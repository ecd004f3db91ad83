"""Networks that are asked for the next word: no place sees later ones, and a window is as many questions as words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thinned.study.networks.named import NetworkName, made
from thinned.study.networks.next_word import every_next_word
from thinned.study.networks.shape import InputShape
from thinned.study.trial.fold import Fold
from thinned.study.trial.word_baselines import word_baselines

NETWORKS: tuple[NetworkName, ...] = ("lstm", "gru", "transformer")
SHAPE = InputShape(words=12, length=6, following=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_place_sees_later_words(name: NetworkName) -> None:
    network = made(name, SHAPE, (16, 16), 11, 0.5).eval()
    x = torch.randint(1, 12, (4, 6)).float()
    other = x.clone()
    other[:, 4:] = 12 - other[:, 4:]
    y = torch.zeros(4, dtype=torch.int64)
    first, second = (every_next_word(network, rows, y)[0].view(4, 6, 11) for rows in (x, other))
    assert torch.equal(first[:, :4], second[:, :4])
    assert not torch.allclose(first[:, 4:], second[:, 4:])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_answer_is_the_one_at_the_last_word(name: NetworkName) -> None:
    network = made(name, SHAPE, (16,), 11, 0.5).eval()
    x = torch.randint(1, 12, (4, 6)).float()
    output, following = every_next_word(network, x, torch.arange(4))
    torch.testing.assert_close(network(x), output.view(4, 6, 11)[:, -1])
    assert following.view(4, 6)[:, -1].tolist() == [0, 1, 2, 3]
    assert torch.equal(following.view(4, 6)[:, :-1], x[:, 1:].long() - 1)
    short = torch.cat([x[:, :3], torch.zeros(4, 3)], dim=1)  # a text of three words
    torch.testing.assert_close(network(short), output.view(4, 6, 11)[:, 2])


def a_fold(train: list[list[int]], y_train: list[int], val: list[int], y_val: list[int]) -> Fold:
    """Windows of word numbers, of which 1 is class 0; validation and test windows by their last word."""
    x = np.array(train, dtype=np.float32)
    last = np.array(val, dtype=np.float32)[:, None]
    rows, y = np.arange(len(val)), np.array(y_val)
    return Fold(x, np.array(y_train), last, y, last, y, rows, rows, outputs=3, words=4, length=x.shape[1], stretch=1)


def test_a_bigram_knows_what_follows_and_a_unigram_how_often_it_stands() -> None:
    windows = [[1, 2, 3, 1], [2, 3, 1, 2]] * 3  # word 2 follows 1, 3 follows 2, 1 follows 3
    fold = a_fold(windows, [1, 2] * 3, [1, 2, 3], [1, 2, 0])
    unigram, bigram = word_baselines(fold)
    # Asked for in each pair of windows: classes 1, 2, 0, 1 and 2, 0, 1, 2; one more of each class.
    assert np.exp(unigram.test_output[0]) == pytest.approx(np.array([6 + 1, 9 + 1, 9 + 1]) / (24 + 3))
    assert np.exp(unigram.test_output).sum(axis=1) == pytest.approx(1)
    assert np.exp(bigram.test_output).sum(axis=1) == pytest.approx(1)
    assert bigram.settings == {"weight": 0.99}
    assert (np.exp(bigram.test_output)[[0, 1, 2], [1, 2, 0]] > 0.99).all()


def test_where_words_are_independent_the_bigram_falls_back() -> None:
    rng = np.random.default_rng(0)
    windows, val = rng.integers(1, 4, (20, 6)).tolist(), rng.integers(1, 4, 300).tolist()
    found = word_baselines(a_fold(windows, rng.integers(0, 3, 20).tolist(), val, rng.integers(0, 3, 300).tolist()))
    assert found[1].settings["weight"] <= 0.3
