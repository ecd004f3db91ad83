"""The networks of a chapter's trial: the rules of training that the main study has, at one learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...fit.perceptron import Perceptron
from ...fit.separate import Between, Build, Separate, answers
from ...fit.stack import Member
from ...fit.stacked_training import train_stack
from ...fit.training import TrainedMember, train
from ...noise import fold_in
from ...once import once
from ..networks.next_word import lesson_of
from ..trial.config import Recipe
from ..trial.fold import Fold
from ..trial.measure import measured_rows
from ..trial.outcome import Figures as RunFigures
from ..trial.unit import stacked
from .trial import Figures, Trial


@dataclass(frozen=True)
class Learnt:
    """A trained network of a seed, in evaluation mode, with its fold."""

    network: nn.Module
    fold: Fold
    trained: TrainedMember

    @once
    def val_output(self) -> NDArray[np.float32]:
        """Answers to the validation rows, which say how wide a regression's predictions are."""
        found: NDArray[np.float32] = answers(self.network, torch.from_numpy(self.fold.x_val)).numpy()
        return found

    def figures(self, x: NDArray[np.float32] | None = None, y: NDArray[np.generic] | None = None) -> RunFigures:
        """On some rows; the fold's test rows by default."""
        rows = self.fold.x_test if x is None else x
        return measured_rows(self.val_output, answers(self.network, torch.from_numpy(rows)).numpy(), self.fold, y)


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
        *(stacked(folds, trial.seeds, name).to(recipe.device) for name in ("x_train", "y_train")),
        *(stacked(folds, trial.seeds, name) for name in ("x_val", "y_val")),
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


def networks(
    trial: Trial,
    folds: Mapping[int, Fold],
    recipe: Recipe,
    build: Build,
    *,
    weight_decay: float = 0.0,
    between: Between | None = None,
    steps: int | None = None,
) -> list[Learnt]:
    """Networks of any kind, one a seed, by the rules of training that a stack has.

    Arguments:
        build: makes a network, whose first weights are of the generator that it is given, or of torch's own.
        weight_decay: AdamW's, decoupled.
        between: what happens to a network between steps.
        steps: so many for every seed, whether it has converged or not; None trains to convergence.
    """
    members = [
        Member(rows, fold_in(recipe.key, seed), 0.0, 0.0, trial.lr, weight_decay)
        for rows, seed in enumerate(trial.seeds)
    ]
    x, y = (stacked(folds, trial.seeds, name).to(recipe.device) for name in ("x_train", "y_train"))
    x_val, y_val = (stacked(folds, trial.seeds, name) for name in ("x_val", "y_val"))
    found = train(
        Separate(members, x, y, [build for _ in members], recipe.batch, between, lesson_of(recipe.shape)),
        x_val,
        y_val,
        max_steps=recipe.max_steps if steps is None else steps,
        all_steps=steps is not None,
        gain=recipe.gain,
    )
    learnt = []
    for seed, result in zip(trial.seeds, found, strict=True):
        with torch.random.fork_rng(devices=[]):
            network = build(torch.Generator())
        network.load_state_dict(result.state)
        learnt.append(Learnt(network.eval(), folds[seed], result))
    return learnt


def judged(learnt: Sequence[Learnt]) -> Figures:
    """Test and training errors, likelihoods, the validation loss, and the steps to the state that is kept."""
    on_test = [one.figures() for one in learnt]
    return {
        "error": [found.error for found in on_test],
        "nll": [found.nll for found in on_test],
        "train_error": [one.figures(one.fold.x_train, one.fold.y_train).error for one in learnt],
        "val_loss": [one.trained.val_loss for one in learnt],
        "steps": [float(one.trained.best_step) for one in learnt],
    }
