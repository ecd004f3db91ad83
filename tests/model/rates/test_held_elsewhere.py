"""Dropout that stands nowhere in the model, or that a held object's method makes: set, or an error that names it."""

from __future__ import annotations

import enum
import functools
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thinned

X = torch.ones(64, 8)
DROP = nn.Dropout(0.5)
LOCAL = threading.local()
LOCAL.drop = DROP
FORMS: dict[str, Callable[[], nn.Module]] = {}


class Choice(enum.Enum):
    A = (DROP,)


def attributed() -> None: ...


vars(attributed)["drop"] = DROP


class Holder:
    def __init__(self) -> None:
        self.p = 0.5

    def inner(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p)

    def run(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Held(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rate = 0.5
        self.drop: Any = None
        self.holders = [Holder(), Holder()]
        self.table = {"a": Holder()}


def form(kind: type[nn.Module]) -> type[nn.Module]:
    FORMS[kind.__name__] = kind
    return kind


@form
class OfAProperty(nn.Module):
    @property
    def drop(self) -> nn.Module:
        return DROP

    def forward(self, x: Tensor) -> Any:
        return self.drop(x)


@form
class OfACachedProperty(nn.Module):
    @functools.cached_property
    def drop(self) -> list[nn.Module]:
        return [nn.Dropout(0.5)]

    def forward(self, x: Tensor) -> Any:
        return self.drop[0](x)


@form
class OfAThread(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return LOCAL.drop(x)


@form
class OfAnEnum(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return Choice.A.value[0](x)


@form
class OfAFunction(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return vars(attributed)["drop"](x)


@form
class MadeAtFirstUse(Held):
    def forward(self, x: Tensor) -> Any:
        if self.drop is None:
            self.drop = nn.Dropout(0.5)
        return self.drop(x)


@form
class MadeInAListAtFirstUse(Held):
    def forward(self, x: Tensor) -> Any:
        if self.drop is None:
            self.drop = [nn.Dropout(0.5)]
        return self.drop[0](x)


@form
class HoldersInALoop(Held):
    def forward(self, x: Tensor) -> Tensor:
        for holder in self.holders:
            x = holder.run(x)
        return x


@form
class HoldersByNumber(Held):
    def forward(self, x: Tensor) -> Tensor:
        for number in range(2):
            x = self.holders[number].run(x)
        return x


@form
class HoldersInATable(Held):
    def forward(self, x: Tensor) -> Tensor:
        for holder in self.table.values():
            x = holder.run(x)
        return x


@form
class HoldersBackwards(Held):
    def forward(self, x: Tensor) -> Tensor:
        return next(holder.run(x) for holder in reversed(self.holders))


@form
class HoldersCounted(Held):
    def forward(self, x: Tensor) -> Tensor:
        for _, holder in enumerate(self.holders):
            x = holder.run(x)
        return x


@form
class HoldersByName(Held):
    def forward(self, x: Tensor) -> Tensor:
        for _, holder in self.table.items():  # noqa: PERF102
            x = holder.run(x)
        return x


@form
class ComparedByAMethod(Held):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand_like(x).ge(self.rate) / (1 - self.rate)


@form
class ComparedByAFunction(Held):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.gt(torch.rand_like(x), self.rate)


@form
class Binomial(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.from_numpy(np.random.binomial(1, 0.5, x.shape))  # noqa: NPY002


def patched() -> nn.Module:
    layer: Any = nn.Linear(8, 8)
    before = layer.forward
    layer.forward = lambda x: F.dropout(before(x), 0.5)
    return layer  # type: ignore[no-any-return]


def patched_by_a_method() -> nn.Module:
    layer: Any = nn.Linear(8, 8)

    def forward(self: Any, x: Tensor) -> Tensor:
        return F.dropout(F.linear(x, self.weight), 0.5)

    layer.forward = types.MethodType(forward, layer)
    return layer  # type: ignore[no-any-return]


FORMS |= {"patched": patched, "patched_by_a_method": patched_by_a_method}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("example", [None, X])
def test_off_or_an_error_and_nothing_in_silence(name: str, example: Any) -> None:
    model = nn.Sequential(nn.Dropout(0.3), FORMS[name]())
    before = DROP.p
    try:
        thinned.set_rates(model, {"*": 0.0}, example=example)
    except ValueError as error:
        assert "must be within reach" in str(error)  # noqa: PT017
        assert model[0].p == 0.3
    else:
        assert torch.equal(model(X), model(X))
    finally:
        DROP.p = before


class Augments:
    """Something that draws nothing in the model."""

    def run(self, x: Tensor) -> Tensor:
        return x.flip(0)


class Right(nn.Module):
    """Calls of held objects, patched forwards and properties in which nothing drops."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = [Augments(), Augments()]
        self.sizes = [1, 2, 3]
        self.inner: Any = nn.Linear(8, 8)
        before = self.inner.forward
        vars(self.inner)["forward"] = lambda x: before(x) + 1

    @functools.cached_property
    def scale(self) -> Tensor:
        return torch.ones(8)

    @property
    def last(self) -> nn.Module:
        return self.inner  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Any:
        for step in self.steps:
            x = step.run(x)
        for size in self.sizes:
            x = x + size
        return self.last(x * self.scale)


def test_what_drops_nothing_is_no_error() -> None:
    model = nn.Sequential(nn.Dropout(0.3), Right())
    thinned.set_rates(model, {"*": 0.0})
    assert model[0].p == 0.0
    assert "scale" not in vars(model[1])  # reading computes nothing
    assert torch.equal(model(X), model(X))
