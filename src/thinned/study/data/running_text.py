"""One long text for a language model: each row asks for the next word, and the text is cut in three where it stands."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...plain_text import in_utf8
from ..error import StudyError
from .class_folder import TEXT, is_text_file
from .column import Column
from .dataset import Dataset
from .forms import LevelForm, WordsForm
from .overrule import TextForm
from .text_file import decode_text
from .words import LEAST_TEXTS, words_of

NEXT, UNKNOWN_WORD = "next word", "<unknown>"  # a name that no word has: "<" is a word by itself
WINDOW = 16  # words in front of the one that is asked for
LEAST_WORDS = 1_000  # of a text
KNOWN = 500  # words that are answers of their own, at most
TRAIN_SHARE, VAL_SHARE = 0.55, 0.20  # of the text, from its start; the rest is tested on: as of a table
WINDOWS = 20_000  # that seeds draw from, at most
VAL_PLACES, TEST_PLACES = 1_000, 2_000  # words that are asked for, at most
STRETCHES, LEAST_STRETCH = 30, 20  # parts of the test text at most, and their words at least
SHOWN = 30  # letters of a word in a message


def is_running_text(data: Path) -> bool:
    """Whether a file is one long text."""
    return is_text_file(data) and not data.is_dir()


def running_text(path: Path, form: TextForm) -> Dataset:
    """The text's words as rows: sixteen words in front, and the next one as the class.

    The first 55 % of the text are trained on, the next 20 % are for validation, the rest is tested on; no row reaches
    over a border. Classes are the most frequent words of the training part, and one for all others.

    Raises StudyError: the file can't be decoded, or the text is too short or says one thing only.
    """
    words = words_of(decode_text(path, form))
    _check(path, words)
    border, end = int(TRAIN_SHARE * len(words)), int((TRAIN_SHARE + VAL_SHARE) * len(words))
    known = _known(path, words[:border])
    stride = max(WINDOW // 2, -(-border // WINDOWS))
    train = np.arange(WINDOW, border, stride)
    val, _ = spread(border + WINDOW, end, VAL_PLACES)
    test, stretch = spread(end + WINDOW, len(words), TEST_PLACES)
    places = np.concatenate([train, val, test])
    number = {word: index + 1 for index, word in enumerate(known)}
    unknown = sum(word not in number for word in words[:border]) / border
    return Dataset(
        title=in_utf8(path.name),
        source=f"{len(words):,} words in {in_utf8(path)}",
        task="classification",
        target=NEXT,
        features=pd.DataFrame({TEXT: [" ".join(words[place - WINDOW : place]) for place in places]}, dtype=object),
        y=np.array([number.get(words[place], 0) for place in places], dtype=np.int64),
        classes=(UNKNOWN_WORD, *known),
        time=np.repeat([0.0, 1.0, 2.0], [len(train), len(val), len(test)]),
        notes=(
            f"A row is a place in the text: the {WINDOW} words in front of it, and the word that follows, which is "
            f"asked for. In training every word of these {WINDOW} is asked for as well.",
            f"{len(known):,} words are answers of their own, the most frequent of those that the training part has "
            f"twice. All others, {100 * unknown:.0f} % of the training part, are one word, {UNKNOWN_WORD}: a "
            "perplexity compares with others of this study only.",
        ),
        columns=(
            Column(TEXT, "words", WordsForm(), "the text's own words"),
            Column(NEXT, "level", LevelForm(), "the word that follows", "target"),
        ),
        stretch=stretch,
    )


def spread(start: int, end: int, most: int) -> tuple[NDArray[np.int64], int]:
    """Places between two, in equally long stretches that are spread evenly; and how many words a stretch has.

    >>> spread(0, 100, 40)[0].tolist()[:10], spread(0, 100, 40)[1]
    ([0, 1, 2, 3, 4, 5, 6, 7, 20, 21], 8)
    """
    room = end - start
    count = min(max(room // LEAST_STRETCH, 2), STRETCHES)
    size = min(room, most) // count
    starts = start + np.arange(count) * room // count
    return (starts[:, None] + np.arange(size)).ravel(), size


def parts_note(train: int, val: int, test: int, stretch: int) -> str:
    """How the text is cut, a sentence for the report."""
    return (
        f"The text is cut where it stands: each seed draws {train:,} windows from its first 55 %, {val:,} places of "
        f"the next 20 % are for validation, {test:,} of the rest are tested on, and no window reaches over a border. "
        f"Words near each other are not independent, so intervals are over {test // stretch} stretches of {stretch} "
        "words each, spread over the test part: a stretch counts as one row."
    )


def _check(path: Path, words: list[str]) -> None:
    different = len(set(words))
    if words and different == 1:
        raise StudyError(
            f"{in_utf8(path)}: a text must have different words. It has one, {words[0][:SHOWN]!r}, {len(words):,} "
            "times. Pass another text."
        )
    if len(words) < LEAST_WORDS:
        raise StudyError(
            f"{in_utf8(path)}: a text must have {LEAST_WORDS:,} words at least, to learn from, to choose by and to "
            f"test on. Got {len(words):,}. Pass a longer text; texts with classes are a folder a class, or a table."
        )


def _known(path: Path, words: list[str]) -> tuple[str, ...]:
    """The words that stand at least twice, the most frequent first, equals by the alphabet."""
    counts = Counter(words)
    often = sorted((word for word in counts if counts[word] >= LEAST_TEXTS), key=lambda word: (-counts[word], word))
    if not often or len(counts) < 2:
        what = f"only {words[0][:SHOWN]!r} stands there" if len(counts) == 1 else "none stands there twice"
        raise StudyError(
            f"{in_utf8(path)}: words must recur, and differ, in the first {100 * TRAIN_SHARE:.0f} % of a text, which "
            f"are trained on: {what}. Pass a text of sentences."
        )
    return tuple(often[:KNOWN])
