"""Rules that texts state and that are wrong, on the library's own masks (docs/design/theory.md, "Rules you will read").

A rule is right when the input that the next layer sees at inference is the mean of what it saw in training. Two of the
wrong rules cannot be seen at p = 0.5, so each is tried at 0.2 as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from thinned.nn import Dropout
from thinned.noise import realised

DRAWS = 100_000
VALUE = 1.5


def train(p: float, scaling: str, factor: float = 1.0) -> Tensor:
    x = torch.full((DRAWS,), VALUE, dtype=torch.float64)
    y: Tensor = Dropout(p, scaling=scaling)(x, key=21)
    return factor * y


def infer(p: float, scaling: str, factor: float = 1.0) -> float:
    y: Tensor = Dropout(p, scaling=scaling).eval()(torch.tensor(VALUE, dtype=torch.float64))
    return factor * y.item()


Rule = Callable[[float], tuple[Tensor, float]]

# name: the rule, what it multiplies the next layer's mean input by, and whether p = 0.5 hides it.
RULES: dict[str, tuple[Rule, Callable[[float], float], bool]] = {
    "inverted": (lambda p: (train(p, "inverted"), infer(p, "inverted")), lambda p: 1.0, True),
    "classic": (lambda p: (train(p, "classic"), infer(p, "classic")), lambda p: 1.0, True),
    "classic, times p at inference": (
        lambda p: (train(p, "classic"), infer(p, "inverted", p)),
        lambda p: p / (1 - p),
        True,
    ),
    "scaled by 1/p in training": (
        lambda p: (train(p, "classic", 1 / p), infer(p, "inverted")),
        lambda p: p / (1 - p),
        True,
    ),
    "corrected twice": (lambda p: (train(p, "inverted"), infer(p, "classic")), lambda p: 1 - p, False),
    "classic, scaling forgotten": (
        lambda p: (train(p, "classic"), infer(p, "inverted")),
        lambda p: 1 / (1 - p),
        False,
    ),
    "classic, divided by q at inference": (
        lambda p: (train(p, "classic"), infer(p, "inverted", 1 / (1 - p))),
        lambda p: 1 / (1 - p) ** 2,
        False,
    ),
}


@pytest.mark.parametrize("p", [0.2, 0.5])
@pytest.mark.parametrize("name", RULES)
def test_what_a_rule_does_to_the_next_layer_s_mean_input(name: str, p: float) -> None:
    rule, ratio, hidden_at_half = RULES[name]
    trained, inferred = rule(p)
    keeps_the_mean = ratio(p) == 1.0
    assert keeps_the_mean == (name in ("inverted", "classic") or (p == 0.5 and hidden_at_half))
    # The standard error of the mean of Bernoulli(q) draws of height `trained.max()`.
    dropped = realised(p)
    error = trained.max().item() * math.sqrt(dropped * (1 - dropped) / DRAWS)
    seen = abs(trained.mean().item() - inferred) > 4 * error
    assert seen != keeps_the_mean
    assert trained.mean().item() * ratio(p) == pytest.approx(inferred, abs=4 * error * ratio(p) + 2e-5)
