"""How a study's texts become words: by its first seed's training rows, or for a next word by the text's own classes."""

from __future__ import annotations

from ..error import StudyError
from .dataset import Dataset
from .parts import Sizes, parts
from .prepare import texts
from .running_text import WINDOW
from .words import WordsPlan, plan_words


def words_of_first_seed(data: Dataset, size: Sizes, seed: int, ordered: bool) -> WordsPlan | None:
    """How texts become words, by the first seed's training rows; None where the data have no texts.

    Arguments:
        ordered: for networks that read words in their order; else for a bag of words.

    Raises StudyError: a next word is asked of a bag of words.
    """
    if data.words is None:
        return None
    if data.stretch:
        if not ordered:
            raise StudyError(
                f"{data.title}: the next word of a long text is asked of networks that read words in their order: "
                "`--network` must be lstm, gru or transformer, without `--model`. Leave both out for an lstm."
            )
        known = tuple(map(str, data.classes[1:]))
        return WordsPlan(data.words, len(known), WINDOW, known)
    first = parts(data, size, seed, 0).train
    return plan_words(data.words, list(texts(data.features.iloc[first], (data.words,))[:, 0]), ordered=ordered)
