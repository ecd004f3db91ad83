"""Texts as words: how a text is cut into them, and which of them a network knows, learnt from training rows alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BAG_WORDS, SEQUENCE_WORDS = 1_000, 5_000  # that are known at most
LEAST_TEXTS = 2  # training texts that a known word stands in, at least
LONGEST, LENGTH_QUANTILE = 64, 0.95  # words of a text that are read, at most: as many as this share of texts has
SOME_WORDS = 3.0  # the median text of a text column has so many words at least
DIFFERENT_TEXTS = 0.5  # and so many of its texts, at least, are different
EMPTY, UNKNOWN, FIRST = range(3)  # word numbers
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Chinese and Japanese have no spaces between words
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|(?:(?![{_IDEOGRAPHS}])\w)+(?:['\u2019](?:(?![{_IDEOGRAPHS}])\w)+)?|[^\w\s]")


def words_of(text: str | None) -> list[str]:
    """The words of a text in small letters, and each other sign by itself; Chinese and Japanese sign by sign.

    >>> words_of("Don't buy it, ever!")
    ["don't", 'buy', 'it', ',', 'ever', '!']
    """
    return _WORD.findall(text.lower()) if text else []


@dataclass(frozen=True)
class WordsPlan:
    """How texts become inputs, the same for every seed.

    Arguments:
        column: the text column.
        slots: how many words are known at most.
        length: how many words of a text are read in their order; 0 for a bag: an input a word, 1 if a text has it.
        fixed: the words that are known, where the next word is asked for and they are its classes; then the last words
            of a text are read, not the first. None: each seed's training texts say which.
    """

    column: str
    slots: int
    length: int
    fixed: tuple[str, ...] | None = None


@dataclass(frozen=True)
class WordList:
    """A plan with the words that one seed's training texts have, the most frequent first."""

    plan: WordsPlan
    known: tuple[str, ...]

    @property
    def inputs(self) -> int:
        return self.plan.length or self.plan.slots

    def __call__(self, texts: Iterable[str | None]) -> NDArray[np.float32]:
        """A bag: `(rows, slots)` of 0 and 1. Else word numbers `(rows, length)`: 0 is empty, 1 unknown."""
        number = {word: index for index, word in enumerate(self.known)}
        cut = [words_of(text) for text in texts]
        found = np.zeros((len(cut), self.inputs), dtype=np.float32)
        for row, words in enumerate(cut):
            if self.plan.length:
                read = words[: self.plan.length] if self.plan.fixed is None else words[-self.plan.length :]
                numbers = [number.get(word, UNKNOWN - FIRST) + FIRST for word in read]
                found[row, : len(numbers)] = numbers
            else:
                found[row, [number[word] for word in words if word in number]] = 1.0
        return found


def plan_words(column: str, texts: Sequence[str | None], ordered: bool) -> WordsPlan:
    """A plan by the first seed's training texts.

    Arguments:
        ordered: whether a network reads words in their order, and not a bag of them.
    """
    slots = min(len(_frequent(texts)), SEQUENCE_WORDS if ordered else BAG_WORDS)
    counts = [len(words_of(text)) for text in texts]
    length = int(np.ceil(np.quantile(counts, LENGTH_QUANTILE))) if ordered else 0
    return WordsPlan(column, max(slots, 1), max(min(length, LONGEST), 1) if ordered else 0)


def learn_words(plan: WordsPlan, texts: Sequence[str | None]) -> WordList:
    """The words that at least two texts have, those of the most texts first, equals by the alphabet."""
    return WordList(plan, tuple(_frequent(texts)[: plan.slots]) if plan.fixed is None else plan.fixed)


def bag_of_numbers(numbers: NDArray[np.float32], words: int) -> NDArray[np.float32]:
    """Which of the first thousand words each row of word numbers has, as 0 and 1: for models that have no order.

    >>> bag_of_numbers(np.array([[3, 2, 1, 0]], dtype=np.float32), words=5)
    array([[1., 1., 0.]], dtype=float32)
    """
    found = np.zeros((len(numbers), words), dtype=np.float32)
    np.put_along_axis(found, numbers.astype(np.int64), 1.0, axis=1)
    return found[:, FIRST : FIRST + BAG_WORDS]


def looks_like_text(texts: Sequence[str | None]) -> bool:
    """Whether a column holds texts of some words, most of them different."""
    there = [text for text in texts if text]
    if not there or len(set(there)) < DIFFERENT_TEXTS * len(there):
        return False
    return float(np.median([len(words_of(text)) for text in there])) >= SOME_WORDS


def words_note(plan: WordsPlan, rows: int) -> str:
    """How texts were read, a sentence for the report."""
    known = f"up to {plan.slots:,} words that at least {LEAST_TEXTS} of a seed's {rows:,} training texts have"
    if not plan.length:
        return (
            f"{plan.column} is read as a bag of words: {known}, each an input that is 1 where a text has the word. "
            "Their order is not seen, and other words are not."
        )
    return (
        f"{plan.column} is read word by word: {known}; all other words are one, the unknown word. The first "
        f"{plan.length} words of a text are read, which is all of it for 95 % of the training texts"
        + (" or the most that two cores can bear." if plan.length == LONGEST else ".")
    )


def _frequent(texts: Iterable[str | None]) -> list[str]:
    counts = Counter(word for text in texts for word in set(words_of(text)))
    return sorted(
        (word for word, count in counts.items() if count >= LEAST_TEXTS), key=lambda word: (-counts[word], word)
    )
