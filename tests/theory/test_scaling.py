"""Inverted and classic scaling are one network in two units (docs/design/theory.md, "One network in two units").

A weight that reads a dropped activation is q times the classic one; everything else follows. q is `1 / scale(p)`, not
`1 - p`: training multiplies by `scale(p)`, a float32, and float64 tells its inverse from the realised keep
probability, and that from the one asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from thinned.nn import DropConnectLinear, Dropout, StochasticDepth
from thinned.noise import fold_in, realised, scale

STEPS = 500
SIZES = (6, 24, 3)
RATES = [(0.0, 0.2), (0.0, 0.5), (0.2, 0.5)]  # the drop probability in front of each linear layer


@dataclass(frozen=True)
class Recipe:
    """One linear layer's start and hyper-parameters."""

    start: float = 1.0  # what the common initial weight is multiplied by
    weight_lr: float = 0.05
    bias_lr: float = 0.05
    weight_decay: float = 1e-2
    max_norm: float = 1.0
    eps: float = 1e-8  # Adam's


CLASSIC = Recipe()


def inverted(recipe: Recipe, q: float) -> Recipe:
    """The recipe for the same layer in inverted units, where it reads units kept with probability q."""
    return replace(
        recipe,
        start=recipe.start * q,
        weight_lr=recipe.weight_lr * q**2,
        weight_decay=recipe.weight_decay / q**2,
        max_norm=recipe.max_norm * q,
    )


def twins(rates: Sequence[float]) -> tuple[Recipe, ...]:
    return tuple(inverted(CLASSIC, 1 / scale(p)) for p in rates)


def sgd(groups: list[dict[str, object]]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=0.0, momentum=0.9)


def adamw(groups: list[dict[str, object]]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=0.0)


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(200, SIZES[0], dtype=torch.float64, generator=generator)
    teacher = torch.randn(SIZES[0], SIZES[-1], dtype=torch.float64, generator=generator)
    return x, (x @ teacher).argmax(1)


@dataclass
class Network:
    """Dropout, linear, ReLU, dropout, linear."""

    dropouts: list[Dropout]
    linears: list[torch.nn.Linear]
    clipped: list[int]  # how often max-norm shortened a row of each layer

    def __call__(self, x: Tensor, step: int = 0) -> Tensor:
        for site, (dropout, linear) in enumerate(zip(self.dropouts, self.linears, strict=True)):
            x = linear(dropout(x.relu() if site else x, key=fold_in(fold_in(7, site), step)))
        return x

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        for dropout in self.dropouts:
            dropout.eval()
        return self(x)


@functools.cache
def trained(
    scaling: str,
    rates: tuple[float, ...],
    recipes: tuple[Recipe, ...],
    optimiser: Callable[[list[dict[str, object]]], torch.optim.Optimizer] = sgd,
    steps: int = STEPS,
) -> Network:
    """Train for `steps` steps, one recipe a layer, from one start, on one order of the data, with one mask a step."""
    generator = torch.Generator().manual_seed(2)
    linears, groups = [], []
    for recipe, (inputs, outputs) in zip(recipes, pairwise(SIZES), strict=True):
        linear = torch.nn.Linear(inputs, outputs, dtype=torch.float64)
        start = torch.randn(outputs, inputs, dtype=torch.float64, generator=generator) * (2 / inputs) ** 0.5
        with torch.no_grad():
            linear.weight.copy_(recipe.start * start)
            linear.bias.zero_()
        weight = {"params": [linear.weight], "lr": recipe.weight_lr, "weight_decay": recipe.weight_decay}
        bias = {"params": [linear.bias], "lr": recipe.bias_lr, "weight_decay": 0.0}
        groups += [weight | ({"eps": recipe.eps} if optimiser is adamw else {}), bias]
        linears.append(linear)
    network = Network([Dropout(p, scaling=scaling) for p in rates], linears, [0] * len(linears))
    optimizer = optimiser(groups)
    x, labels = data()
    for step in range(steps):
        batch = torch.randint(len(x), (20,), generator=generator)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x[batch], step), labels[batch]).backward()
        optimizer.step()
        for site, (linear, recipe) in enumerate(zip(linears, recipes, strict=True)):
            with torch.no_grad():
                excess = linear.weight.norm(dim=1, keepdim=True) / recipe.max_norm
                linear.weight.div_(excess.clamp_min(1.0))
                network.clipped[site] += int((excess > 1.0).sum())
    return network


@pytest.mark.long
@pytest.mark.parametrize("rates", RATES, ids=str)
def test_training_in_either_unit_is_the_same_training(rates: tuple[float, ...]) -> None:
    classic = trained("classic", rates, (CLASSIC,) * 2)
    twin = trained("inverted", rates, twins(rates))
    assert min(classic.clipped + twin.clipped) > 0
    # A power of two scales without rounding: then the twins agree bit for bit.
    exact = all(p in (0.0, 0.5) for p in rates)
    for p, ours, theirs in zip(rates, twin.linears, classic.linears, strict=True):
        tolerance = 0.0 if exact else 1e-12
        torch.testing.assert_close(ours.weight * scale(p), theirs.weight, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(ours.bias, theirs.bias, rtol=tolerance, atol=tolerance)


@pytest.mark.long
@pytest.mark.parametrize("rates", RATES, ids=str)
def test_the_two_inference_rules_predict_the_same(rates: tuple[float, ...]) -> None:
    """Identity on the one side, times q on the other; `scale(p) * q` is 1 to half a unit of float32."""
    x, labels = data()
    ours = trained("inverted", rates, twins(rates)).predict(x)
    theirs = trained("classic", rates, (CLASSIC,) * 2).predict(x)
    exact = all(p in (0.0, 0.5) for p in rates)
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=0.0 if exact else 2 * 2**-24 * theirs.abs().max().item())
    assert (theirs.argmax(1) == labels).double().mean() > 0.8


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda layer, twin: replace(twin, start=1.0), id="start not converted"),
        pytest.param(lambda layer, twin: replace(twin, weight_lr=0.05), id="lr not converted"),
        pytest.param(lambda layer, twin: replace(twin, weight_lr=0.05 * twin.start), id="lr times q"),
        pytest.param(lambda layer, twin: replace(twin, bias_lr=twin.weight_lr), id="bias lr converted"),
        pytest.param(lambda layer, twin: replace(twin, weight_decay=1e-2), id="L2 not converted"),
        pytest.param(lambda layer, twin: replace(twin, max_norm=1.0), id="max-norm not converted"),
        pytest.param(lambda layer, twin: inverted(CLASSIC, 0.8) if layer == 0 else twin, id="input layer converted"),
    ],
)
def test_every_clause_of_the_conversion_is_needed(wrong: Callable[[int, Recipe], Recipe]) -> None:
    """Nothing in front of the input layer drops, so it stays as it is: the rate counts where a weight reads."""
    rates = (0.0, 0.2)
    x, _ = data()
    recipes = tuple(wrong(layer, twin) for layer, twin in enumerate(twins(rates)))
    broken = trained("inverted", rates, recipes, steps=100).predict(x).softmax(1)
    right = trained("classic", rates, (CLASSIC,) * 2, steps=100).predict(x).softmax(1)
    assert (broken - right).abs().max() > 1e-4  # the right twin: 1e-9


@pytest.mark.long
def test_adamw_s_conversion() -> None:
    """Adam divides the gradient's scale out: lr times q, decoupled decay and epsilon over q."""
    rates = (0.0, 0.2)
    recipe = replace(CLASSIC, weight_lr=5e-3, bias_lr=5e-3)
    converted = []
    for p in rates:
        q = 1 / scale(p)
        converted.append(
            replace(
                inverted(recipe, q),
                weight_lr=recipe.weight_lr * q,
                weight_decay=recipe.weight_decay / q,
                eps=recipe.eps / q,
            )
        )
    classic = trained("classic", rates, (recipe,) * 2, adamw)
    twin = trained("inverted", rates, tuple(converted), adamw)
    assert min(classic.clipped + twin.clipped) > 0
    for p, ours, theirs in zip(rates, twin.linears, classic.linears, strict=True):
        torch.testing.assert_close(ours.weight * scale(p), theirs.weight, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(ours.bias, theirs.bias, rtol=1e-9, atol=1e-9)


def test_a_residual_branch_converts_the_map_that_writes_it() -> None:
    """In `x + m f(x)` no weight reads the branch alone, so the one that writes it is scaled, and its bias with it."""
    x, labels = data()
    p, lr, steps = 0.2, 0.05, 200
    trained = []
    for scaling, q in (("classic", 1.0), ("inverted", 1 / scale(p))):
        generator = torch.Generator().manual_seed(5)
        inner, last = (torch.nn.Linear(SIZES[0], SIZES[0], dtype=torch.float64) for _ in range(2))
        with torch.no_grad():
            for tensor, unit in ((inner.weight, 1.0), (inner.bias, 1.0), (last.weight, q), (last.bias, q)):
                tensor.copy_(unit * torch.randn(tensor.shape, dtype=torch.float64, generator=generator) / 2)
        path = StochasticDepth(p, scaling=scaling)
        optimizer = torch.optim.SGD(
            [{"params": inner.parameters(), "lr": lr}, {"params": last.parameters(), "lr": lr * q**2}]
        )
        for step in range(steps):
            optimizer.zero_grad()
            y = x + path(last(inner(x).relu()), key=step)
            torch.nn.functional.cross_entropy(y[:, : SIZES[-1]], labels).backward()
            optimizer.step()
        trained.append((inner.weight, inner.bias, last.weight / q, last.bias / q))
    for theirs, ours in zip(*trained, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_drop_connect_converts_its_own_weight() -> None:
    x, labels = data()
    p, lr = 0.2, 0.5
    trained = []
    for scaling, q in (("classic", 1.0), ("inverted", 1 / scale(p))):
        layer = DropConnectLinear(SIZES[0], SIZES[-1], p=p, scaling=scaling, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(
                q * torch.linspace(-1, 1, layer.weight.numel(), dtype=torch.float64).view_as(layer.weight)
            )
            layer.bias.zero_()
        optimizer = torch.optim.SGD([{"params": [layer.weight], "lr": lr * q**2}, {"params": [layer.bias], "lr": lr}])
        for step in range(200):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(x, key=step), labels).backward()
            optimizer.step()
        trained.append((layer.weight / q, layer.bias))
    for theirs, ours in zip(*trained, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_scale_keeps_the_mean_at_every_rate() -> None:
    """Over all 65535 realised rates below 1, `scale * q` differs from 1 by float32 rounding alone."""
    worst = max(abs(scale(level / 65536) * (1 - realised(level / 65536)) - 1) for level in range(65536))
    assert worst <= 2**-24
