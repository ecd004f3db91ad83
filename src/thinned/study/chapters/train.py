"""The networks of a chapter's trial: the rules of training that the main study has, at one learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ...fit.perceptron import Perceptron
from ...fit.separate import answers
from ...fit.stack import Member
from ...fit.stacked_training import train_stack
from ...fit.training import TrainedMember
from ...noise import fold_in
from ..trial.config import Recipe
from ..trial.fold import Fold
from ..trial.measure import measured_rows
from ..trial.outcome import Figures as RunFigures
from .trial import Figures, Trial


@dataclass(frozen=True)
class Learnt:
    """A trained network of a seed, in evaluation mode, with its fold."""

    network: nn.Module
    fold: Fold
    trained: TrainedMember

    def figures(self) -> RunFigures:
        """On test rows."""
        val, test = (answers(self.network, torch.from_numpy(x)).numpy() for x in (self.fold.x_val, self.fold.x_test))
        return measured_rows(val, test, self.fold)

    def train_error(self) -> float:
        val, own = (answers(self.network, torch.from_numpy(x)).numpy() for x in (self.fold.x_val, self.fold.x_train))
        return measured_rows(val, own, self.fold, self.fold.y_train).error


def perceptrons(
    trial: Trial,
    folds: Mapping[int, Fold],
    recipe: Recipe,
    p: float,
    batch: int,
    *,
    p_input: float = 0.0,
    p_output: float = 0.0,
    alone: int | None = None,
) -> list[Learnt]:
    """Perceptrons as the main study has them, stacked: with dropout after every hidden activation, or one `alone`."""
    first = folds[trial.seeds[0]]
    outputs = max(first.outputs, 1)
    found = train_stack(
        [
            Member(rows, fold_in(recipe.key, seed), p, p_input, trial.lr, 0.0, alone, p_output)
            for rows, seed in enumerate(trial.seeds)
        ],
        *_sets(trial, folds),
        outputs=outputs,
        hidden=recipe.hidden,
        batch=batch,
        max_steps=recipe.max_steps,
    )
    learnt = []
    for seed, result in zip(trial.seeds, found, strict=True):
        network = Perceptron(first.x_train.shape[1], recipe.hidden, outputs, p, 0.0, torch.Generator())
        network.load_state_dict(result.state)
        learnt.append(Learnt(network.eval(), folds[seed], result))
    return learnt


def judged(learnt: Sequence[Learnt]) -> Figures:
    """Test and training errors, likelihoods, and the steps to the state that is kept."""
    on_test = [one.figures() for one in learnt]
    return {
        "error": [found.error for found in on_test],
        "nll": [found.nll for found in on_test],
        "train_error": [one.train_error() for one in learnt],
        "steps": [float(one.trained.best_step) for one in learnt],
    }


def _sets(trial: Trial, folds: Mapping[int, Fold]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and validation rows of the trial's seeds, each as one tensor."""
    x, y, x_val, y_val = (
        torch.from_numpy(np.stack([getattr(folds[seed], name) for seed in trial.seeds]))
        for name in ("x_train", "y_train", "x_val", "y_val")
    )
    return x, y, x_val, y_val
