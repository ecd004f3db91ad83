"""LSTM and GRU for texts, with locked dropout: one mask a text, the same at every word (Gal and Ghahramani 2016).

The hidden state inside the product from word to word is not masked: with `recurrent_dropout` a training step runs word
by word, several times slower. A text's answer is made of the mean over its words, not of the last one alone, so that
words far from the end are not forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...nn import GRU, LSTM, Dropout
from .next_word import last_of_words

EMBEDDING = 64  # numbers a word


class RecurrentNetwork(nn.Module):
    """Word vectors, an LSTM or GRU, the mean over a text's words, a last Linear. For the next word, the last state.

    Arguments:
        cell: `thinned.nn.LSTM` or `thinned.nn.GRU`.
        numbers: plain numbers of a row, in front of its word numbers. They join the mean of the words.
        words: how many word numbers there are; 0 is an empty place, behind a text.
        hidden: units of each layer, all alike, such as (64,).
        outputs: numbers of classes or targets.
        p: the probability that a unit is dropped, of what enters each layer and of the mean; p_input: that a word is.
        following: whether the next word is asked for: then the last state stands for the text, not the mean.

    >>> network = RecurrentNetwork(LSTM, 0, 100, (8,), 2, p=0.5)
    >>> network(torch.tensor([[5.0, 7.0, 0.0]])).shape
    torch.Size([1, 2])
    """

    def __init__(
        self,
        cell: type[LSTM] | type[GRU],
        numbers: int,
        words: int,
        hidden: Sequence[int],
        outputs: int,
        p: float,
        p_input: float = 0.0,
        following: bool = False,
    ) -> None:
        super().__init__()
        self.numbers, self.following = numbers, following
        self.embedding = nn.Embedding(words, EMBEDDING, padding_idx=0)
        self.input_dropout = Dropout(p_input, broadcast_dims=(2,))
        self.recurrent = cell(EMBEDDING, hidden[0], len(hidden), batch_first=True, dropout=p)
        self.dropout = Dropout(p)
        self.linear = nn.Linear(hidden[0] + numbers, outputs)

    def states(self, words: Tensor) -> Tensor:
        """What the cell says at every word, `(B, T, hidden)`."""
        states: Tensor = self.recurrent(self.input_dropout(self.embedding(words)))[0]
        return states

    def features(self, x: Tensor) -> Tensor:
        """What the last dropout is given: the mean over a text's words, `(B, hidden)`, and the row's plain numbers."""
        words = x[:, self.numbers :].long()
        pooled = last_of_words if self.following else mean_of_words
        return torch.cat([pooled(self.states(words), words), x[:, : self.numbers]], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.linear(self.dropout(self.features(x)))
        return output


def mean_of_words(states: Tensor, words: Tensor) -> Tensor:
    """The mean of `(B, T, C)` over the places that hold a word; zeros for a text without words.

    >>> mean_of_words(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[5, 7, 0]]))
    tensor([[2.]])
    """
    there = (words > 0).unsqueeze(2)
    return (states * there).sum(1) / there.sum(1).clamp(min=1)
