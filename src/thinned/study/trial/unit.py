"""Training a unit: all its runs side by side, each a pure function of the unit, the folds and the recipe.

First weights, the order of the rows and the masks depend on the seed alone. Masks are nested in p: one key at two
rates drops a subset. So runs that differ in p, weight decay or learning rate are compared on paired noise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...fit import training
from ...fit.cycles import CHECKS
from ...fit.perceptron import Perceptron
from ...fit.separate import Separate, answers
from ...fit.stack import Member
from ...fit.stacked_training import train_stack
from ...fit.training import Check, TrainedMember
from ...noise import fold_in
from ..networks.named import made
from ..networks.next_word import lesson_of
from .config import Config, Level, Recipe, Unit
from .figures import deviation, figures
from .fold import Fold
from .outcome import Measured, Outcome, Weights

CURVE_ROWS = 500  # of each set: measuring all of them at every point would cost as much as training


def train_unit(unit: Unit, folds: Mapping[int, Fold], recipe: Recipe) -> list[Outcome]:
    """Train and measure. Equal arguments give equal numbers, bit for bit, in any process with one torch thread.

    Arguments:
        folds: what each of the unit's seeds trains on, all of equal sizes.
        recipe: what all runs share.

    Returns: an outcome for each of `unit.configs()`, in their order.
    """
    start = time.perf_counter()
    configs = unit.configs()
    curves = _Curves(configs, folds, recipe)
    trained = _train(unit, folds, recipe, curves)
    found = []
    for number, (config, result) in enumerate(zip(configs, trained, strict=True)):
        fold = folds[config.seed]
        network = as_network(result.state, config, recipe).eval()
        on_train, on_val, on_test = (_answers(network, x) for x in (fold.x_train, fold.x_val, fold.x_test))
        y_train, y_val = torch.from_numpy(fold.y_train)[None], torch.from_numpy(fold.y_val)[None]
        sigma, scale = deviation(on_val[None], y_val), torch.tensor([fold.scale], dtype=torch.float64)
        found.append(
            Outcome(
                config=config,
                best_step=result.best_step,
                steps=result.steps,
                ended=result.ended,
                curve=tuple(curves.points[number]),
                train=figures(on_train[None], y_train, sigma, scale)[0],
                val=figures(on_val[None], y_val, sigma, scale)[0],
                val_output=on_val.numpy(),
                test_output=on_test.numpy(),
                seconds=(time.perf_counter() - start) / len(configs),
                weights=_arrays(result),
            )
        )
    return found


def weights_again(
    unit: Unit, folds: Mapping[int, Fold], recipe: Recipe, configs: Collection[Config]
) -> dict[Config, Weights]:
    """The weights of some of a unit's runs, those that gave their outcomes: the unit trained again, up to their end."""
    all_configs = unit.configs()
    needed = [number for number, config in enumerate(all_configs) if config in configs]
    trained = _train(unit, folds, recipe, None, needed)
    return {all_configs[number]: _arrays(trained[number]) for number in needed}


def as_network(state: Mapping[str, Tensor | NDArray[Any]], config: Config, recipe: Recipe) -> nn.Module:
    """The network that has some weights, with the dropout layers that it was trained with."""
    tensors = {name: torch.as_tensor(value) for name, value in state.items()}
    weights = [value for name, value in tensors.items() if name.endswith("weight")]
    level, outputs = config.level, weights[-1].shape[0]
    network: nn.Module
    if recipe.network == "perceptron":
        generator = torch.Generator()  # torch's own is left alone
        network = Perceptron(weights[0].shape[1], recipe.hidden, outputs, level.p, level.p_input, generator)
    else:
        with torch.random.fork_rng(devices=[]):
            network = made(recipe.network, recipe.shape, recipe.hidden, outputs, level.p, level.p_input)
    network.load_state_dict(tensors)
    return network


def _answers(network: nn.Module, x: NDArray[np.float32]) -> Tensor:
    """A perceptron answers all rows at once; the maps and states of other networks would fill the memory."""
    if not isinstance(network, Perceptron):
        return answers(network, torch.from_numpy(x))
    with torch.no_grad():
        output: Tensor = network(torch.from_numpy(x))
    return output


def _train(
    unit: Unit,
    folds: Mapping[int, Fold],
    recipe: Recipe,
    curves: _Curves | None,
    needed: Sequence[int] | None = None,
) -> list[TrainedMember]:
    level, seeds = unit.level, unit.seeds
    members = [
        Member(
            rows=seeds.index(config.seed),
            key=fold_in(recipe.key, config.seed),
            p=level.p,
            p_input=level.p_input,
            lr=config.lr,
            weight_decay=level.weight_decay,
        )
        for config in unit.configs()
    ]
    outputs = max(folds[seeds[0]].outputs, 1)
    x, y = (stacked(folds, seeds, name).to(recipe.device) for name in ("x_train", "y_train"))
    x_val, y_val = (stacked(folds, seeds, name) for name in ("x_val", "y_val"))
    watch = (lambda check: None) if curves is None else curves.add
    if recipe.network != "perceptron":
        builds = [partial(build, recipe, outputs, level) for _ in members]
        separate = Separate(members, x, y, builds, recipe.batch, lesson=lesson_of(recipe.shape))
        steps, gain = recipe.max_steps, recipe.gain
        return training.train(separate, x_val, y_val, max_steps=steps, watch=watch, needed=needed, gain=gain)
    return train_stack(
        members,
        x,
        y,
        x_val,
        y_val,
        outputs=outputs,
        hidden=recipe.hidden,
        batch=recipe.batch,
        max_steps=recipe.max_steps,
        watch=watch,
        needed=needed,
    )


def build(recipe: Recipe, outputs: int, level: Level, generator: torch.Generator) -> nn.Module:
    """A network of the recipe with its first weights, and the dropout of a level."""
    return made(recipe.network, recipe.shape, recipe.hidden, outputs, level.p, level.p_input, generator)


def _arrays(trained: TrainedMember) -> Weights:
    return {name: value.numpy().copy() for name, value in trained.state.items()}  # not views of the whole stack


def stacked(folds: Mapping[int, Fold], seeds: Sequence[int], name: str) -> Tensor:
    """One array of each seed's fold, as one tensor `(seeds, rows, ...)`."""
    return torch.from_numpy(np.stack([getattr(folds[seed], name) for seed in seeds]))


class _Curves:
    """Each run's learning curve: a point a check in the first cycle, then one every other check.

    It ends where a loss is no number.
    """

    def __init__(self, configs: Sequence[Config], folds: Mapping[int, Fold], recipe: Recipe) -> None:
        seeds = list(dict.fromkeys(config.seed for config in configs))
        self.points: list[list[Measured]] = [[] for _ in configs]
        self._sets = torch.tensor([seeds.index(config.seed) for config in configs])
        self._scales = torch.tensor([folds[config.seed].scale for config in configs], dtype=torch.float64)
        self._x_train, self._y_train, self._x_val, self._y_val = (
            stacked(folds, seeds, name)[:, :CURVE_ROWS] for name in ("x_train", "y_train", "x_val", "y_val")
        )
        self._max_steps = recipe.max_steps
        self._losses = [0.0] * len(configs)  # training losses since the last point, times the steps that they are of
        self._checks, self._last_check, self._last_point = 0, 0, 0

    def add(self, check: Check) -> None:
        if not check.step:
            return
        for n, loss in zip(check.members, check.train_loss, strict=True):
            self._losses[n] += loss * (check.step - self._last_check)
        self._last_check = check.step
        self._checks += 1
        if self._checks > CHECKS and self._checks % 2 and check.step < self._max_steps:
            return
        chosen = torch.tensor(check.members)
        sets, scale = self._sets[chosen], self._scales[chosen]
        sigma = torch.tensor(check.val_loss, dtype=torch.float64).sqrt()
        on_train = figures(check.answer(self._x_train), self._y_train[sets], sigma, scale)
        on_val = figures(check.answer(self._x_val), self._y_val[sets], sigma, scale)
        for n, train, val, val_loss in zip(check.members, on_train, on_val, check.val_loss, strict=True):
            train_loss = self._losses[n] / (check.step - self._last_point)
            self._losses[n] = 0.0
            if math.isfinite(train_loss) and math.isfinite(val_loss):
                self.points[n].append(
                    Measured(check.step, train_loss, train.error, train.nll, val.error, val.nll, val_loss)
                )
        self._last_point = check.step
