"""What a training run leaves: its course, its figures on validation rows, its answers to validation and test rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...fit.cycles import cycles
from .config import Config

Ended = Literal["converged", "raced", "steps", "diverged"]
APART = 1.0  # nats a training row, by which a network that fell apart is worse than an untrained one
Weights = dict[str, NDArray[Any]]  # as the network's `load_state_dict` takes them


@dataclass(frozen=True)
class Measured:
    """A point of a learning curve. Errors and likelihoods are measured with dropout off, on at most 500 rows a set."""

    step: int
    train_loss: float  # as the optimiser saw it since the last point, noise on
    train_error: float
    train_nll: float
    val_error: float
    val_nll: float
    val_loss: float  # on all validation rows: what stops the training


@dataclass(frozen=True)
class Figures:
    """Means over rows, of the network that is kept, dropout off.

    `error` is the misclassified fraction, or the root mean squared error in the target's units. `nll` is in nats a row.
    `loss` is the squared error of the prediction: the Brier score (Brier 1950), or the mean squared error.
    """

    error: float
    nll: float
    loss: float


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    `best_step` is the step whose state is kept: of those at the cycles' ends, the one with the least validation loss.
    `steps` is how many were trained. `ended` says why no more were: the loss fell no longer, another learning rate was
    far ahead, the limit of steps, or a loss that was no number.

    `val_output` and `test_output` are the kept network's raw answers, `(rows, classes)` logits, or `(rows, 1)` values
    in standardised units, float32, in the order of the fold's rows.

    `weights` are the kept network's. The record has none: None where a run was read from it, and the run is trained
    again where its weights are wanted.
    """

    config: Config
    best_step: int
    steps: int
    ended: Ended
    curve: tuple[Measured, ...]
    train: Figures
    val: Figures
    val_output: NDArray[np.float32]
    test_output: NDArray[np.float32]
    seconds: float  # the unit's time, shared out evenly
    weights: Weights | None = None

    @property
    def weights_bytes(self) -> int:
        """What the weights take in memory."""
        return 0 if self.weights is None else sum(value.nbytes for value in self.weights.values())

    def without_weights(self) -> Outcome:
        """The same run as its record has it."""
        return replace(self, weights=None)


def still_holds(outcome: Outcome, max_steps: int) -> bool:
    """Whether a run would end as it did under another limit of steps.

    A run that ran out of steps would go on under a larger limit, and no run ends in a cycle that was cut short.
    """
    if outcome.steps == max_steps:
        return True
    return outcome.ended != "steps" and any(cycle.whole and cycle.end == outcome.steps for cycle in cycles(max_steps))


def diverged(outcome: Outcome) -> bool:
    """Whether training fell apart: a loss was no number, or no state was ever better than the first weights were.

    The latter only where it ended worse than these on its own training rows: noise that can't be learnt leaves the
    first weights the best on validation rows as well.
    """
    if outcome.ended == "diverged":
        return True
    worse = bool(outcome.curve) and outcome.curve[-1].train_nll > outcome.train.nll + APART
    return outcome.best_step == 0 and worse
