"""How well networks that are asked for the next word foretell a text: its perplexity, stretch by stretch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..data.class_folder import TEXT
from ..data.words import words_of
from ..error import StudyError
from .model import StudyModel

STRETCH = 100  # words
BEGINS = 5  # words that a stretch is known by


def score_text(model: StudyModel, text: str, stretch: int = STRETCH) -> pd.DataFrame:
    """A row for each stretch of the text, with what the networks make of its words, each asked for behind those before.

    Columns: `first`, the number of a stretch's first word; `words`, how many were asked for; `begins`, the first of
    them; `unknown`, the share that the networks have no answer of their own for; `error`, the share that is not the
    most probable; `nll`, in nats a word, with the temperature; and `perplexity`, its exponential. The first word of a
    text has none before it and is not asked for.

    Arguments:
        model: networks of a study of one long text, from `load`.
        text: running text; its words are made as in training.
        stretch: words a row.

    Raises StudyError: the networks are asked for something else, or the text has fewer than two words.
    """
    plan = model.words
    if plan is None or plan.fixed is None:
        raise StudyError(
            "`score_text`: `model` must be asked for next words: one of a study of one long text, as `thinned study "
            "book.txt`. Use `predict` for rows."
        )
    if stretch < 1:
        raise StudyError(f"`score_text`: `stretch` must be 1 or more. Got {stretch}.")
    words = words_of(text)
    if len(words) < 2:
        raise StudyError(
            f"`score_text`: `text` must have two words at least, since the first has none before it. Got {len(words)}."
        )
    number = {word: index + 1 for index, word in enumerate(plan.fixed)}
    found = []
    for first in range(1, len(words), stretch):
        asked = range(first, min(first + stretch, len(words)))
        before = [" ".join(words[max(place - plan.length, 0) : place]) for place in asked]
        probability = model.predict_proba(pd.DataFrame({TEXT: before}))
        truth = np.array([number.get(words[place], 0) for place in asked])
        nll = -float(np.log(np.maximum(probability[np.arange(len(truth)), truth], np.finfo(float).tiny)).mean())
        found.append({
            "first": first + 1,
            "words": len(truth),
            "begins": " ".join(words[first : first + BEGINS]),
            "unknown": float((truth == 0).mean()),
            "error": float((probability.argmax(axis=1) != truth).mean()),
            "nll": nll,
            "perplexity": float(np.exp(nll)),
        })  # fmt: skip
    return pd.DataFrame(found)
