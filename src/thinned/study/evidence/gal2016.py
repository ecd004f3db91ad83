"""Gal and Ghahramani 2016: Monte-Carlo dropout on a regression, its likelihood, and where it is unsure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources

import numpy as np
import pandas as pd
import torch

from ...noise import fold_in
from ...uncertainty.predict import predict
from ...uncertainty.scores import log_mixture
from ..chapters.scene import Results
from ..chapters.train import Learnt, perceptrons
from ..chapters.trial import Figures, Trial
from ..error import StudyError
from ..trial.config import Recipe
from ..trial.fold import Fold
from .claim import Claim, Measurement, Measurer, of_arm
from .paper import Paper

LR, P, SAMPLES, BATCH = 0.01, 0.05, 200, 32
FAR = 5.0  # how many times as far from the mean of the rows
DROPOUT = "dropout"
WIDTHS = np.geomspace(0.3, 3.0, 25)  # of the validation residuals' root mean square: the noise that is tried
_MASKS = 14  # a child of a seed's key


def boston_folds(seeds: Sequence[int]) -> Mapping[int, Fold]:
    """Boston housing, standardised by the training rows: a tenth for testing, a tenth for validation, the rest.

    Raises StudyError: mlxtend is not installed.
    """
    try:
        with (resources.files("mlxtend") / "data" / "data" / "boston_housing.csv").open("rb") as file:
            table = pd.read_csv(file, header=None).to_numpy(np.float64)
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise StudyError(
            "`thinned reproduce`: its houses are those inside mlxtend, which is not installed. "
            "Run pip install 'thinned[study]'."
        ) from error
    return {seed: _cut(table, seed) for seed in seeds}


def _cut(table: np.ndarray[tuple[int, int], np.dtype[np.float64]], seed: int) -> Fold:
    order = np.random.default_rng(seed).permutation(len(table))
    test, val, train = np.split(order, [len(order) // 10, len(order) // 5])
    mean, scale = table[train].mean(0), table[train].std(0)
    rows = ((table - mean) / np.where(scale > 0, scale, 1.0)).astype(np.float32)
    x, y = rows[:, :-1], rows[:, -1]
    return Fold(
        x[train], y[train], x[val], y[val], x[test], y[test], val, test, 0, float(mean[-1]), float(scale[-1])
    )  # fmt: skip


def trials(seeds: Sequence[int]) -> list[Trial]:
    """One arm: dropout."""
    return [Trial("gal2016", DROPOUT, LR, tuple(seeds))]


def run(trial: Trial, folds: Mapping[int, Fold], recipe: Recipe) -> Figures:
    """A trial's figures, in the target's unit."""
    learnt = perceptrons(trial, folds, recipe, P, recipe.batch, p_input=P)
    keys = [fold_in(fold_in(recipe.key, seed), _MASKS) for seed in trial.seeds]
    sampled = [_sampled(one, key) for one, key in zip(learnt, keys, strict=True)]
    found = {name: [one[name] for one in sampled] for name in sampled[0]}
    return found | {"error": [one.figures().error for one in learnt]}


def _sampled(learnt: Learnt, key: int) -> dict[str, float]:
    """Monte-Carlo dropout: error and log-likelihood, whose noise the validation rows choose, and the spread far off."""
    fold = learnt.fold
    drawn = {}
    for name, x in (("val", fold.x_val), ("test", fold.x_test), ("far", FAR * fold.x_test)):
        found = predict(learnt.network, torch.from_numpy(x), n=SAMPLES, seed=key, samples=True)
        assert found.samples is not None
        drawn[name] = found.samples.double().flatten(1)
    y_val, y_test = (torch.from_numpy(y).double() for y in (fold.y_val, fold.y_test))
    residual = float((drawn["val"].mean(0) - y_val).square().mean().sqrt())
    sigma = max(WIDTHS, key=lambda width: float(log_mixture(drawn["val"], y_val, width * residual).mean())) * residual
    likelihood = float(log_mixture(drawn["test"], y_test, sigma).mean()) - float(np.log(fold.scale))
    return {
        "sampled error": fold.scale * float((drawn["test"].mean(0) - y_test).square().mean().sqrt()),
        "sampled log-likelihood": likelihood,
        "spread": float(drawn["test"].std(0).mean()) * fold.scale,
        "far spread": float(drawn["far"].std(0).mean()) * fold.scale,
    }


def _of(name: str) -> Measurer:
    def measure(results: Results, seeds: Sequence[int]) -> Measurement:
        return Measurement(of_arm(results, DROPOUT, name, seeds))

    return measure


def _against_scaling(results: Results, seeds: Sequence[int]) -> Measurement:
    sampled, scaled = (of_arm(results, DROPOUT, name, seeds) for name in ("sampled error", "error"))
    return Measurement(sampled - scaled, {"samples": float(sampled.mean()), "weight scaling": float(scaled.mean())})


def _farther(results: Results, seeds: Sequence[int]) -> Measurement:
    far, near = (of_arm(results, DROPOUT, name, seeds) for name in ("far spread", "spread"))
    return Measurement(far - near, {"far off": float(far.mean()), "test rows": float(near.mean())})


PAPER = Paper(
    name="gal2016",
    reference="Gal and Ghahramani 2016: Dropout as a Bayesian approximation: representing model uncertainty in deep "
    "learning",
    setting="Boston housing, 506 rows that mlxtend ships, a random tenth for testing for each of 20 seeds: the paper's "
    "20 splits are others; 13-50-1, ReLU, p = 0.05 of inputs and hidden units, AdamW at a learning rate of 0.01, at "
    f"most 3,100 steps of {BATCH} rows; {SAMPLES} samples. The noise of the target is chosen on validation rows.",
    elsewhere="The paper has nine more sets. Its authors say that figures of other splits can't be compared exactly, "
    "and that the first search saw test rows.",
    recipe=Recipe(key=2016, hidden=(50,), batch=BATCH, max_steps=3100),
    folds=boston_folds,
    trials=trials,
    run=run,
    claims=(
        Claim(
            "The test RMSE of Monte-Carlo dropout on Boston housing.",
            "2.97, standard deviation 0.85 over splits",
            "table 1, Boston",
            "test RMSE; the range is the paper's mean and standard deviation",
            _of("sampled error"),
            low=2.97 - 0.85,
            high=2.97 + 0.85,
        ),
        Claim(
            "Its log-likelihood.",
            "-2.46, standard deviation 0.25 over splits",
            "table 1, Boston",
            "test log-likelihood, nats a row; the range is the paper's mean and standard deviation",
            _of("sampled log-likelihood"),
            low=-2.46 - 0.25,
            high=-2.46 + 0.25,
        ),
        Claim(
            "The mean of the samples is as good as one pass with weight scaling.",
            "weight scaling is taken for an approximation of the mean of the samples",
            "section 4",
            "test RMSE of the mean of the samples minus that of weight scaling",
            _against_scaling,
            low=-0.1,
            high=0.1,
        ),
        Claim(
            "Far from the data the answers of thinned networks spread.",
            "curves: the spread grows away from the data; CO2 on Mauna Loa",
            "figure 2",
            f"standard deviation of the samples on test rows {FAR:g} times as far from the mean minus on test rows",
            _farther,
            low=0.0,
        ),
    ),
    seeds=20,
)
