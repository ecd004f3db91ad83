"""How an example is given to a model: the same for every tool that runs one."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thinned


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(6, 64), nn.Dropout(0.5), nn.Linear(64, 3)

    def forward(self, ids: Tensor, mask: Tensor | None = None, scale: float = 1.0) -> Tensor:
        x = self.drop(self.first(ids * scale).relu())
        result: Tensor = self.last(x if mask is None else x * mask)
        return result


class Wrapped(nn.Module):
    """As wrappers of models are written."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Named()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


class Whole(Named):
    """It takes a batch as it is."""

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]
        return super().forward(batch["ids"], batch["mask"])


X = {"ids": torch.randn(5, 6), "mask": torch.ones(5, 1)}
EXAMPLES: list[tuple[Any, dict[str, Any]]] = [((X["ids"],), {}), ((), X)]
USES: dict[str, Callable[[nn.Module, Any], Any]] = {
    "inspect": lambda net, x: thinned.inspect(net, x).places[0].name,
    "check": lambda net, x: len(thinned.check(net, x)),
    "plan": lambda net, x: str(thinned.plan(net, x)).count("drop"),
    "predict": lambda net, x: thinned.predict(net, x, 4).mean.shape,
    "weight_scaling": lambda net, x: thinned.weight_scaling(net, x).shape,
    "thinned_networks": lambda net, x: len(thinned.thinned_networks(net, 2, x)),
    "rates": lambda net, x: thinned.rates(net, example=x),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", [Named, Wrapped, Whole])
def test_a_mapping_is_given_by_name(use: str, kind: type[nn.Module]) -> None:
    net, by_keyword = kind(), Named()
    expected = USES[use](by_keyword, X)
    for given in (X, UserDict(X)):
        found = USES[use](net, given)
        if kind is Wrapped:  # the place has a longer name
            found = eval(repr(found).replace("inner.", "")) if use in ("inspect", "rates") else found
        assert found == expected


@pytest.mark.parametrize("use", ["inspect", "predict"])
def test_a_name_that_the_model_does_not_take_is_said(use: str) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'id'"):
        USES[use](Named(), {"id": X["ids"], "mask": X["mask"]})


def test_other_examples_are_given_as_they_are() -> None:
    places = [thinned.inspect(Named(), *args, **kwargs).places for args, kwargs in EXAMPLES]
    assert [place.name for place in places[0]] == [place.name for place in places[1]] == ["drop"]
    assert thinned.predict(Named(), (X["ids"], X["mask"]), 4).mean.shape == (5, 3)
    assert thinned.predict(Named(), [X["ids"], X["mask"], 2.0], 4).mean.shape == (5, 3)
