"""What a study leaves on disk, as data: `study/` writes these records, `study/report/` reads them and nothing else.

A folder holds `study.json` (a `Study`), `trials.csv` (one `Trial` a row), `curves.csv` (one `Point` a row) and
`activations.npz`. Rates are fractions in [0, 1] here; pages and words turn them into percent.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Task = Literal["classification", "regression"]
Arm = Literal["dropout", "decay", "both", "input"]

SCHEMA = 1


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trial(_Record):
    """One training run. `error` is the misclassified fraction, or the root mean squared error in the target's units.

    `calibration` is the expected calibration error over 15 bins, or, for regression, how far the 95 % prediction
    interval's coverage is from 0.95. `nll` is in nats a row.
    """

    trial: str  # arm, p, lr, weight decay and seed in one word: the key by which a run is resumed
    arm: Arm  # "l2" has p = 0 and a weight decay above 0, "input" the best p and a p_input above 0
    p: float
    p_input: float  # the probability that an input is dropped
    lr: float
    weight_decay: float
    seed: int
    epochs: int
    chosen_lr: bool  # whether this is the learning rate that validation chose for its arm and p
    train_error: float  # with dropout off, like every figure here but `train_loss` in the curves
    train_nll: float
    val_error: float
    val_nll: float
    val_loss: float  # what choices go by: the mean squared error of the prediction, for classes the Brier score
    test_error: float
    test_nll: float
    test_calibration: float
    seconds: float


class Point(_Record):
    """One epoch of one trial."""

    trial: str
    epoch: int
    train_loss: float  # as the optimiser saw it, noise on
    train_error: float  # noise off
    train_nll: float
    val_error: float
    val_nll: float


class Level(_Record):
    """One p (or another arm), at its chosen learning rate, summed up over seeds; intervals are 95 %."""

    arm: Arm
    p: float
    p_input: float
    lr: float
    weight_decay: float
    seeds: int
    test_error: float
    test_error_low: float
    test_error_high: float
    test_nll: float
    test_calibration: float
    train_error: float
    train_nll: float
    val_error: float
    val_nll: float
    val_loss: float


class Difference(_Record):
    """A paired difference, first minus second, with its 95 % interval (seeds and test rows both vary)."""

    first: str
    second: str
    metric: Literal["error", "nll"]
    value: float
    low: float
    high: float


class Study(_Record):
    schema_version: int = SCHEMA
    title: str  # "MNIST digits", or the file's name
    source: str  # where the data came from, in words
    task: Task
    metric: str  # "test error" or "test RMSE"
    unit: str  # "%" for classification, the target's name for regression
    target: str
    classes: list[str]  # empty for regression
    features: int
    rows_train: int
    rows_val: int
    rows_test: int
    hidden: list[int]
    seed: int
    seeds: int
    ps: list[float]
    lrs: list[float]
    best_p: float  # by validation
    best_p_input: float  # of the chosen network: 0 unless dropping inputs as well did better on validation rows
    best_lr: float
    levels: list[Level]  # one a p in `ps`' order, then the L2 arm's, then the input arm's where there is one
    differences: list[Difference]  # best p against 0, best p against L2
    verdict: Literal["helps", "no difference", "hurts"]
    words: list[str]  # the answer, a sentence each, most important first
    seconds: float
    versions: dict[str, str]
    complete: bool  # False after Ctrl-C
