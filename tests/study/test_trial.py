"""One training run, on scikit-learn's digits and diabetes sets."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits

from thinned.fit.perceptron import Perceptron
from thinned.study.fold import Fold
from thinned.study.retrained import retrain
from thinned.study.trial import Config, Outcome, Recipe, run, train

RECIPE = Recipe(key=0, hidden=(32, 32), epochs=4, batch=25)
CONFIG = Config("dropout", 0.5, 0.01, 0.0, 0)


@pytest.fixture(scope="module")
def digits() -> Fold:
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype(np.float32), y.astype(np.int64)
    return Fold(x[:200], y[:200], x[200:400], y[200:400], x[400:600], y[400:600], outputs=10)


@pytest.fixture(scope="module")
def diabetes() -> Fold:
    x, y = load_diabetes(return_X_y=True)
    x, z = (20 * x).astype(np.float32), ((y - y.mean()) / y.std()).astype(np.float32)
    return Fold(x[:200], z[:200], x[200:300], z[200:300], x[300:], z[300:], 0, float(y.mean()), float(y.std()))


def figures(outcome: Outcome) -> list[float]:
    return [outcome.train.error, outcome.val.error, outcome.test.error, *map(float, outcome.test.row_nll)]


def test_the_same_arguments_give_the_same_bits_whatever_else_is_drawn(digits: Fold) -> None:
    one = run(CONFIG, digits, RECIPE)
    torch.rand(7)
    two = run(CONFIG, digits, RECIPE)
    assert figures(one) == figures(two)
    assert one.points == two.points


def test_training_leaves_torchs_generator_alone(digits: Fold) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    run(CONFIG, digits, RECIPE)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("change", [{"seed": 1}, {"p": 0.4}, {"lr": 0.02}, {"weight_decay": 1.0}])
def test_every_part_of_a_configuration_matters(digits: Fold, change: dict[str, float]) -> None:
    assert figures(run(CONFIG, digits, RECIPE)) != figures(run(replace(CONFIG, **change), digits, RECIPE))  # type: ignore[arg-type]


def test_it_learns_and_the_row_figures_have_the_means_that_it_reports(digits: Fold) -> None:
    outcome = run(CONFIG, digits, replace(RECIPE, epochs=20))
    assert outcome.test.error < 0.4  # guessing is 0.9
    assert outcome.test.error == outcome.test.row_error.mean()
    assert outcome.test.nll == pytest.approx(outcome.test.row_nll.mean())
    assert outcome.points[-1].epoch == 20
    assert outcome.points[-1].val_error == outcome.val.error


def test_regression_is_measured_in_the_targets_units(diabetes: Fold) -> None:
    outcome = run(CONFIG, diabetes, replace(RECIPE, epochs=20))
    assert 50 < outcome.test.error < diabetes.scale  # predicting the mean gives the target's deviation, 77
    assert outcome.test.error == pytest.approx(np.sqrt(outcome.test.row_error.mean()))
    assert 0.85 < outcome.test.row_sure.mean() <= 1
    # the NLL of a Gaussian with the residuals' own deviation, in the target's units, is log sd + 1.42
    assert outcome.val.nll == pytest.approx(np.log(outcome.val.error) + 0.5 * np.log(2 * np.pi * np.e), abs=1e-5)


def test_masks_are_nested_in_p() -> None:
    x, keys = torch.ones(8, 64), (7,)
    with torch.no_grad():
        kept = [Perceptron(64, (64,), 2, p).train().dropout[0](x, key=keys[0]) != 0 for p in (0.1, 0.3, 0.5)]
    assert (kept[2] <= kept[1]).all()
    assert (kept[1] <= kept[0]).all()
    assert kept[0].sum() > kept[2].sum()


def test_initial_weights_and_order_do_not_depend_on_p_or_learning_rate(digits: Fold) -> None:
    no_steps = replace(RECIPE, epochs=1, batch=200)
    tiny = [train(replace(CONFIG, p=p, lr=1e-12), digits, no_steps)[0].state_dict() for p in (0.0, 0.5)]
    for name, value in tiny[0].items():
        assert torch.allclose(value, tiny[1][name], atol=1e-9)


def test_a_diverged_run_counts_as_bad_not_as_a_number_that_is_none(digits: Fold, diabetes: Fold) -> None:
    for fold in (digits, diabetes):
        outcome = run(replace(CONFIG, lr=1e30), fold, RECIPE)
        assert np.isfinite(figures(outcome)).all()
        assert outcome.test.error > (0.8 if fold.outputs else fold.scale)


def test_a_kept_network_is_the_trials_own(digits: Fold) -> None:
    kept, outcome = retrain(CONFIG, digits, RECIPE), run(CONFIG, digits, RECIPE)
    assert kept.val_nll == outcome.points[-1].val_nll
    assert kept.whole.shape == (32, 32)
    assert np.array_equal(kept.thinned, np.where(kept.mask, kept.whole * 2, 0))
    assert 0.4 < kept.mask.mean() < 0.6
