"""Functions that drop and that a forward calls by way of something else: set, or an error that names the place."""

from __future__ import annotations

import contextlib
import functools
import importlib
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import thinned

from . import project_functions
from .project_functions import STEPS, twice

X = torch.ones(64, 8)
TABLE: dict[str, Callable[[Tensor], Tensor]] = {f"add{i}": functools.partial(torch.add, other=i) for i in range(20)}
TABLE["drop"] = lambda x: F.dropout(x, 0.5)
FORMS: dict[str, type[nn.Module]] = {}


def form(kind: type[nn.Module]) -> type[nn.Module]:
    FORMS[kind.__name__] = kind
    return kind


def dropping(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(forward)
    def wrapped(self: Any, x: Tensor) -> Tensor:
        return F.dropout(forward(self, x), 0.5)

    return wrapped


def pick(name: str) -> Any:
    return getattr(F, name)


class Plain:
    def __call__(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)


PLAIN = Plain()


@form
class Reduced(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        steps: list[Callable[..., Tensor]] = [F.relu, F.dropout]
        return functools.reduce(lambda y, f: f(y), steps, x)


@form
class ReducedAttribute(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Callable[..., Tensor]] = [nn.Linear(8, 8), lambda x: F.dropout(x, 0.5)]

    def forward(self, x: Tensor) -> Tensor:
        return functools.reduce(lambda y, f: f(y), self.steps, x)


@form
class PartialMethod(nn.Module):
    def _drop(self, x: Tensor, p: float) -> Tensor:
        return F.dropout(x, p)

    drop = functools.partialmethod(_drop, p=0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x)


@form
class PartialMethodOfAFunction(nn.Module):
    def _call(self, function: Callable[..., Tensor], x: Tensor) -> Tensor:
        return function(x)

    drop = functools.partialmethod(_call, F.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.drop(x))


@form
class Imported(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return project_functions.drop(twice(x))


@form
class ImportedList(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for step in STEPS:
            x = step(x)
        return x


@form
class ImportedInside(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        from . import never_loaded

        return never_loaded.drop(x)


@form
class LargeTable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.key = "drop"

    def forward(self, x: Tensor) -> Tensor:
        return TABLE[self.key](x)


@form
class LargeTableAll(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for key in sorted(TABLE):
            x = TABLE[key](x)
        return x


@form
class Joined(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = getattr(F, "dropout")(x, 0.5)  # noqa: B009
        y = getattr(F, "drop" + "out")(y, 0.4)
        return getattr(F, "".join(["drop", "out"]))(y, 0.3)  # type: ignore[no-any-return]


@form
class Formatted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ending = "out"

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = getattr(F, f"drop{self.ending}")(x, 0.5)
        y = getattr(F, "%s%s" % ("drop", self.ending))(y, 0.4)  # noqa: UP031
        return getattr(F, "{}{}".format("drop", self.ending))(y, 0.3)  # type: ignore[no-any-return]


@form
class NameMadeInTheRun(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        ending = "out" if x.shape[0] else ""
        return getattr(F, "drop" + ending)(x, 0.5)  # type: ignore[no-any-return]


@form
class LookedUp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = vars(F)["dropout"](x, 0.5)
        y = operator.attrgetter("dropout")(F)(y, 0.4)
        y = importlib.import_module("torch.nn.functional").dropout(y, 0.3)
        return pick("dropout")(y, 0.2)  # type: ignore[no-any-return]


@form
class Evaluated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return eval("F.dropout(x, 0.5)")  # type: ignore[no-any-return]


@form
class Mapped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*map(F.dropout, [x, x])])


@form
class MappedLambda(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([*map(lambda row: F.dropout(row, 0.5), x.unbind())])  # noqa: C417


@form
class Inner(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        def inner(y: Tensor, p: float = 0.5) -> Tensor:
            return F.dropout(y, p)

        return inner(x)


@form
class Decorated(nn.Module):
    @dropping
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


@form
class Property(nn.Module):
    @property
    def drop(self) -> Callable[[Tensor], Tensor]:
        return lambda x: F.dropout(x, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x)


@form
class Matched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kind = "drop"

    def forward(self, x: Tensor) -> Tensor:
        match self.kind:
            case "drop":
                return F.dropout(x, 0.5)
        return x


@form
class Yielded(nn.Module):
    def _steps(self, x: Tensor) -> Iterator[Tensor]:
        for _ in range(2):
            x = F.dropout(x, 0.25)
            yield x

    def forward(self, x: Tensor) -> Tensor:
        return [*self._steps(x)][-1]


@form
class InAContext(nn.Module):
    @contextlib.contextmanager
    def _dropped(self, x: Tensor) -> Iterator[Tensor]:
        yield F.dropout(x, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        with self._dropped(x) as y:
            return y


@form
class AutogradFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        class Drop(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor) -> Tensor:
                return F.dropout(x, 0.5)

        return Drop.apply(x)  # type: ignore[no-any-return, no-untyped-call]


@form
class Recomputed(nn.Module):
    def _block(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self._block, x, use_reentrant=False)  # type: ignore[no-any-return]


@form
class Vmapped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.vmap(lambda row: F.dropout(row, 0.5), randomness="different")(x)


@form
class BuiltForAnother(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.Sequential(nn.Identity(), nn.Dropout(0.5))(x)  # type: ignore[no-any-return]


@form
class OwnClassBuilt(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Plain()(x)


@form
class OwnObject(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return PLAIN(x)


@form
class Chosen(nn.Module):
    def forward(self, x: Tensor, wide: bool = False) -> Tensor:
        function = F.relu if wide else F.dropout
        return function(x)


@form
class ByDefault(nn.Module):
    def forward(self, x: Tensor, function: Callable[[Tensor], Tensor] = F.dropout) -> Tensor:
        return function(x)


class Parent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = 0.5

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p)


@form
class OfTheParent(Parent):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


@form
class OfTheParentByName(Parent):
    def forward(self, x: Tensor) -> Tensor:
        return super(OfTheParentByName, self).forward(x) + Parent.forward(self, x)  # noqa: UP008


def quiet(model: nn.Module) -> bool:
    return torch.equal(model(X), model(X))


@pytest.fixture(autouse=True)
def _not_loaded() -> None:
    sys.modules.pop(f"{__package__}.never_loaded", None)


@pytest.mark.parametrize("name", FORMS)
def test_set_or_an_error_that_names_the_place(name: str) -> None:
    model = nn.Sequential(nn.Dropout(0.0), FORMS[name]())
    try:
        thinned.set_rates(model, {"*": 0.0})
    except ValueError as error:
        assert "'1" in str(error), error  # noqa: PT017
        assert "must be within reach" in str(error), error  # noqa: PT017
        assert not quiet(model)
    else:
        assert quiet(model)


def test_what_a_forward_builds_for_another_module_is_named_with_an_example_too() -> None:
    with pytest.raises(ValueError, match=r"'<Sequential><Dropout>' .* must be within reach"):
        thinned.set_rates(BuiltForAnother(), {"*": 0.1}, example=X)


@pytest.mark.parametrize("name", [name for name in FORMS if name != "BuiltForAnother"])
def test_with_an_example_it_is_set(name: str) -> None:
    model = nn.Sequential(nn.Dropout(0.0), FORMS[name]())
    thinned.set_rates(model, {"*": 0.0}, example=X)
    assert quiet(model)


@pytest.mark.parametrize("name", FORMS)
def test_disabled_and_frozen(name: str) -> None:
    model = FORMS[name]()
    with thinned.disabled(model):
        assert quiet(model)
    assert not quiet(model)
    thinned.freeze(model)
    with pytest.raises(thinned.NoiseLeft, match="must draw no noise in a frozen part") as caught:
        model(X)
    assert caught.value.line


class Harmless(nn.Module):
    """Mentions functions that drop, and calls none that a rate does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.key, self.p = "add1", 0.5
        self.fast = hasattr(F, "scaled_dot_product_attention")

    def forward(self, x: Tensor) -> Tensor:
        def block(y: Tensor) -> Tensor:
            return F.dropout(TABLE[self.key](y), self.p, self.training)

        drop = F.dropout
        x = drop(checkpoint(block, x, use_reentrant=False), self.p, self.training)
        return getattr(F, "re" + "lu")(x) if hasattr(F, "dropout") else x


def test_what_is_read_is_set_without_an_example() -> None:
    model = Harmless()
    assert thinned.set_rates(model, {"*": 0.25}) == {":dropout": 0.25, ":dropout#2": 0.25}
    assert model.p == 0.25


def test_a_parent_s_forward_is_read_with_its_attributes() -> None:
    assert thinned.rates(OfTheParent()) == {":dropout": 0.5}
    model = OfTheParent()
    thinned.set_rates(model, {"*": 0.25})
    assert model.p == 0.25


class CallsOutside(nn.Module):
    def __call__(self, x: Tensor) -> Tensor:
        return F.dropout(super().__call__(x), 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_dropout_in_a_call_of_its_own_is_named() -> None:
    model = CallsOutside()
    for enter in (
        lambda: thinned.disabled(model).__enter__(),
        lambda: thinned.eval_guard(model),
        lambda: thinned.freeze(model),
    ):
        with pytest.raises(ValueError, match=r"CallsOutside must drop in its forward.*test_hidden_functions.py:\d+"):
            enter()
    with pytest.raises(ValueError, match=r"'1:__call__' .*must be within reach"):
        thinned.set_rates(nn.Sequential(nn.Dropout(), model), {"*": 0.0})
    whole = nn.Sequential(nn.Identity(), model)
    with thinned.disabled(whole):
        assert quiet(whole)
