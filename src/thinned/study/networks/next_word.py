"""Networks that are asked for the next word: what a window teaches them, and where they look at a text's end."""

from __future__ import annotations

from torch import Tensor, nn

from ...fit.separate import Lesson
from .shape import InputShape

FIRST_WORD = 1  # the number of the unknown word, which is class 0


def last_of_words(states: Tensor, words: Tensor) -> Tensor:
    """Of `(B, T, C)`, the state at the last place that holds a word; of a text without words, at the first place.

    >>> import torch
    >>> last_of_words(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[5, 7, 0]]))
    tensor([[3.]])
    """
    last = ((words > 0).sum(1) - 1).clamp(min=0)
    return states.gather(1, last[:, None, None].expand(-1, 1, states.shape[2])).squeeze(1)


def every_next_word(network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs at every place of full windows, and the words that follow there: `(B * T, classes)` and `(B * T,)`.

    Each place sees those in front of it only, so that a window of sixteen words is sixteen questions.
    """
    words = x.long()
    output = network.linear(network.dropout(network.states(words)))  # type: ignore[operator]
    following = words.roll(-1, 1) - FIRST_WORD
    following[:, -1] = y
    return output.flatten(0, 1), following.flatten()


def lesson_of(shape: InputShape) -> Lesson | None:
    """What a network of this shape learns from a batch; None: each row's own answer."""
    return every_next_word if shape.following else None
