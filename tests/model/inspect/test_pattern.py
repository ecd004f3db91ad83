"""Whoever takes a pattern of names refuses one that matches none: with what was asked, and the most similar names."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import nn

import thinned

WRONG = "encodr.2.*"


def model() -> nn.Module:
    """Eight places: more than an error lists."""
    return nn.ModuleDict(
        {"head": nn.Dropout(0.1), "encoder": nn.Sequential(*(nn.Sequential(nn.Dropout(0.1)) for _ in range(7)))}
    )


class Runs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = model()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (*self.parts["encoder"], self.parts["head"]):  # type: ignore[index]
            x = layer(x)
        return x


def entered(context: AbstractContextManager[Any]) -> None:
    with context:
        pass


ASKED: dict[str, Callable[[], Any]] = {
    "`set_rates`: `rates` must name places of the model": lambda: thinned.set_rates(Runs(), {WRONG: 0.2}),
    "`scale_rates`: `pattern` must name places of the model": lambda: thinned.scale_rates(Runs(), 2, WRONG),
    "`Schedule`: `schedules` must name places of the model": lambda: thinned.Schedule(Runs(), {WRONG: 0.2}),
    "`disabled`: `pattern` must name places of the model": lambda: entered(thinned.disabled(Runs(), WRONG)),
    "`eval_guard`: `allow` must name places of the model": lambda: thinned.eval_guard(Runs(), allow=(WRONG,)),
    "`convert`: `only` must name dropouts of the model": lambda: thinned.convert(Runs(), only=WRONG),
    "`predict`: `sites` must name places of the model": lambda: thinned.predict(Runs(), torch.ones(1, 2), sites=WRONG),
    "`predict`: `p` must name places that draw": lambda: thinned.predict(Runs(), torch.ones(1, 2), p={WRONG: 0.2}),
}


@pytest.mark.parametrize("said", ASKED)
def test_the_error_has_the_argument_the_pattern_and_what_is_near(said: str) -> None:
    with pytest.raises(ValueError, match="which matches none") as caught:
        ASKED[said]()
    start, near = str(caught.value).split(", which matches none. Places: ")
    assert start == f"{said}. Got {WRONG!r}"
    assert re.match(r"parts\.encoder\.2\.0(, [\w.]+){4} and 3 more\.", near)


def test_a_model_without_places_says_so() -> None:
    for ask in (
        lambda: thinned.set_rates(nn.Linear(2, 2), {"*": 0.1}),
        lambda: thinned.convert(nn.Linear(2, 2), only="*"),
        lambda: thinned.predict(nn.Linear(2, 2), torch.ones(1, 2), sites="*"),
    ):
        with pytest.raises(ValueError, match=r"Got '\*', which matches none. Places: none."):
            ask()


def test_rates_are_given_to_sites_that_are_asked_for() -> None:
    with pytest.raises(ValueError, match=r"`p` must name places that draw. Got '1', which .* Places: 0.$"):
        thinned.predict(nn.Sequential(nn.Dropout(0.1), nn.Dropout(0.2)), torch.ones(1, 2), sites="0", p={"1": 0.1})
