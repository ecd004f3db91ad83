"""A transformer encoder for texts: layer normalisation first, dropout of embeddings, attention and residual branches.

The places are those of Vaswani et al. 2017, and of BERT for attention; the normalisation stands in front of each branch
(Xiong et al. 2020), which trains without a long warm-up. Layer normalisation has no running statistics, so dropout in
front of it is harmless.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...nn import Dropout
from .next_word import last_of_words
from .recurrent import mean_of_words

HEAD = 16  # numbers of a word that an attention head looks at
WIDER = 2  # how many times as wide the middle of a layer is


class EncoderLayer(nn.Module):
    """`x + dropout(attention(norm(x)))`, then `x + dropout(linear(dropout(gelu(linear(norm(x))))))`."""

    def __init__(self, width: int, p: float) -> None:
        super().__init__()
        self.heads = max(width // HEAD, 1)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, WIDER * width), nn.Linear(WIDER * width, width)
        self.attention_dropout, self.inner_dropout = Dropout(p), Dropout(p)
        self.residual_dropout1, self.residual_dropout2 = Dropout(p), Dropout(p)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """`hidden` says which places a place can't look at, `(B, 1, T or 1, T)`: the empty ones, or later ones too."""
        x = x + self.residual_dropout1(self.attention(self.norm1(x), hidden))
        inner = self.inner_dropout(functional.gelu(self.wide(self.norm2(x))))
        result: Tensor = x + self.residual_dropout2(self.narrow(inner))
        return result

    def attention(self, x: Tensor, hidden: Tensor) -> Tensor:
        batch, places, width = x.shape
        parts = self.query_key_value(x).view(batch, places, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5
        weights = self.attention_dropout(scores.masked_fill(hidden, -1e4).softmax(-1))
        mixed = (weights @ value).transpose(1, 2).reshape(batch, places, width)
        result: Tensor = self.joined(mixed)
        return result


class TransformerNetwork(nn.Module):
    """Word and place vectors, encoder layers, a normalisation, the mean over a text's words, a last Linear.

    For the next word, attention is causal, and the last state stands for the text.

    Arguments:
        numbers: plain numbers of a row, in front of its word numbers. They join the mean of the words.
        words: how many word numbers there are; 0 is an empty place, behind a text.
        length: places of a text.
        hidden: the width of each layer, all alike, such as (64, 64): a multiple of 16.
        outputs: numbers of classes or targets.
        p: the probability that a unit is dropped, at all places; p_input: that a word is.
        following: whether the next word is asked for.

    >>> network = TransformerNetwork(0, 100, 3, (16,), 2, p=0.1)
    >>> network(torch.tensor([[5.0, 7.0, 0.0]])).shape
    torch.Size([1, 2])
    """

    def __init__(
        self,
        numbers: int,
        words: int,
        length: int,
        hidden: Sequence[int],
        outputs: int,
        p: float,
        p_input: float = 0.0,
        following: bool = False,
    ) -> None:
        super().__init__()
        width = hidden[0]
        self.numbers, self.following = numbers, following
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.places = nn.Parameter(nn.init.normal_(torch.empty(length, width), std=0.02))
        self.input_dropout = Dropout(p_input, broadcast_dims=(2,))
        self.embedding_dropout = Dropout(p)
        self.layers = nn.ModuleList(EncoderLayer(width, p) for _ in hidden)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(p)
        self.linear = nn.Linear(width + numbers, outputs)

    def states(self, words: Tensor) -> Tensor:
        """What the last layer says at every word, normalised, `(B, T, width)`."""
        states = self.embedding_dropout(self.input_dropout(self.embedding(words)) + self.places)
        hidden = (words == 0)[:, None, None, :]
        if self.following:
            hidden = hidden | hidden.new_ones(words.shape[1], words.shape[1]).triu(1)
        for layer in self.layers:
            states = layer(states, hidden)
        normal: Tensor = self.norm(states)
        return normal

    def features(self, x: Tensor) -> Tensor:
        """What the last dropout is given: the mean over a text's words, `(B, width)`, and the row's plain numbers."""
        words = x[:, self.numbers :].long()
        pooled = last_of_words if self.following else mean_of_words
        return torch.cat([pooled(self.states(words), words), x[:, : self.numbers]], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.linear(self.dropout(self.features(x)))
        return output
